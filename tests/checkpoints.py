"""Tiny checkpoints in the real architectures, saved as a hub would hold them.

Random weights, real configurations, tokenizers trained here. Their answers depend on what is asked:
freshly initialised encoder-decoder models say almost the same whatever they are given, so weights
are drawn wide enough that attention is peaked and the last token does not decide alone.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportCallIssue=false
# transformers' constructors are only partly typed.

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    BlenderbotTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from config.catalogue import Family, ModelEntry

TEXT = """
the a river mountain winter summer bread garden music letter window train morning evening
blue green quiet loud small old walks sings asks answers reads writes opens closes finds
why how where when who hello thanks please maybe never always with without under over
"""

WORDS = TEXT.split()

CORPUS = [
    f"{WORDS[i % len(WORDS)]} {WORDS[(i * 7 + 3) % len(WORDS)]} "
    f"{WORDS[(i * 13 + 5) % len(WORDS)]}, {WORDS[(i * 17 + 11) % len(WORDS)]}? {i}."
    for i in range(400)
]

PROMPTS = tuple(
    f"{WORDS[(i * 5) % len(WORDS)]} the {WORDS[(i * 11 + 2) % len(WORDS)]} "
    f"{WORDS[(i * 3 + 7) % len(WORDS)]} {WORDS[(i * 19 + 1) % len(WORDS)]}?"
    for i in range(20)
)
"""Twenty questions, all different."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

THINKING = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)

HEADERS = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if loop.index0 % 2 == 1 and message['role'] == 'user' and messages[0]['role'] == 'user' %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


class Saved(Protocol):
    """What can be saved into a folder."""

    def save_pretrained(self, save_directory: Path, /) -> object:
        """Write the files."""
        ...


@dataclass(frozen=True, slots=True)
class Tiny:
    """A kind of checkpoint: how it is made and its catalogue entry."""

    name: str
    family: Family
    context_tokens: int
    make: Callable[[Path], None]
    has_system_prompt: bool = True

    def entry(self, folder: Path | None, **changes: object) -> ModelEntry:
        """A catalogue entry for the checkpoint in a folder."""
        values: dict[str, object] = {
            "name": self.name,
            "title": self.name.title(),
            "family": self.family,
            "description": "made by the tests",
            "licence": "MIT",
            "folder": folder,
            "context_tokens": self.context_tokens,
            "has_system_prompt": self.has_system_prompt,
            "weight_bytes": 1 << 20,
            "sampling": {"temperature": 0.0, "max_tokens": 12},
        }
        return ModelEntry.model_validate(values | changes)


def byte_level_bpe(special: list[str], add_prefix_space: bool = False) -> Tokenizer:
    """A byte-level BPE tokenizer trained on the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def make_llama(folder: Path) -> None:
    """Llama with grouped attention and a header template; untied embeddings."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_bpe(
            [
                "<|begin_of_text|>",
                "<|end_of_text|>",
                "<|start_header_id|>",
                "<|end_header_id|>",
                "<|eot_id|>",
            ]
        ),
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|end_of_text|>",
        additional_special_tokens=["<|start_header_id|>", "<|end_header_id|>"],
        chat_template=HEADERS,
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=[1, 4],
        pad_token_id=1,
    )
    save(LlamaForCausalLM(config), tokenizer, folder, Spread())


def make_smollm(folder: Path) -> None:
    """As SmolLM: Llama with tied embeddings and ChatML."""
    tokenizer = _chatml_tokenizer(CHATML)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    save(LlamaForCausalLM(config), tokenizer, folder, Spread())


def make_qwen3(folder: Path) -> None:
    """Qwen3: a template that can switch reasoning off, `<think>` as an added token."""
    tokenizer = _chatml_tokenizer(THINKING)
    tokenizer.add_tokens(["<think>", "</think>"])
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    save(Qwen3ForCausalLM(config), tokenizer, folder, Spread())


def make_t5(folder: Path, layers: int = 2) -> None:
    """T5 as FLAN-T5 is built: gated GELU, untied embeddings, a Unigram tokenizer."""
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz?.,:!</>0123456789ADLQUR"),
        show_progress=False,
    )
    unigram.train_from_iterator([*CORPUS, "Answer the question. Dialogue: User:"], trainer)
    vocabulary = sorted(unigram.get_vocab().items(), key=lambda item: item[1])
    scores = dict(_unigram_scores(unigram))
    tokenizer = T5Tokenizer(vocab=[(piece, scores[piece]) for piece, _ in vocabulary], extra_ids=4)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    save(T5ForConditionalGeneration(config), tokenizer, folder, Spread(1.0, 12.0, 2.5))


def make_blenderbot(folder: Path) -> None:
    """Blenderbot with its 128 learned positions and its byte-level tokenizer."""
    trained = byte_level_bpe(["<pad>", "<s>", "</s>", "<unk>", "<mask>"], add_prefix_space=True)
    vocabulary, merges = _bpe_parts(trained)
    tokenizer = BlenderbotTokenizer(vocab=vocabulary, merges=merges)
    config = BlenderbotConfig(
        vocab_size=len(tokenizer),
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        forced_eos_token_id=2,
        scale_embedding=True,
    )
    save(BlenderbotForConditionalGeneration(config), tokenizer, folder, Spread(0.3, 12.0, 2.5))


TINY = {
    tiny.name: tiny
    for tiny in (
        Tiny("llama", Family.CHAT, 512, make_llama),
        Tiny("smollm", Family.CHAT, 256, make_smollm),
        Tiny("qwen3", Family.CHAT, 512, make_qwen3),
        Tiny("t5", Family.FLAN_T5, 512, make_t5, has_system_prompt=False),
        Tiny("blenderbot", Family.BLENDERBOT, 128, make_blenderbot, has_system_prompt=False),
    )
}
"""Every kind by name."""


def _chatml_tokenizer(template: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level_bpe(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """How wide weights are drawn: embeddings, cross-attention, and all others, the latter two
    relative to what their size alone would ask for. Wide cross-attention makes the encoder's words
    count for more than the token said last.
    """

    embeddings: float = 4.0
    cross_attention: float = 1.0
    others: float = 4.0

    def of(self, name: str, columns: int) -> float:
        """The standard deviation for a matrix."""
        if "embed" in name or "shared" in name:
            return self.embeddings
        if "lm_head" in name and self.cross_attention > 1:
            return 1.0
        is_cross = "EncDecAttention" in name or "encoder_attn" in name
        is_value = name.endswith((".o.weight", ".v.weight", "out_proj.weight", "v_proj.weight"))
        wide = self.cross_attention if is_cross and is_value else self.others
        return wide * columns**-0.5


def save(model: PreTrainedModel, tokenizer: Saved, folder: Path, spread: Spread) -> None:
    """Draw the weights and write all files."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                width = spread.of(name, weight.shape[1])
                weight.normal_(0.0, width, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unigram_scores(tokenizer: Tokenizer) -> list[tuple[str, float]]:
    state = json.loads(tokenizer.to_str())
    return [(piece, score) for piece, score in state["model"]["vocab"]]


def _bpe_parts(tokenizer: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    state = json.loads(tokenizer.to_str())
    return state["model"]["vocab"], [tuple(pair) for pair in state["model"]["merges"]]
