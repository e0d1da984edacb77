"""The tokenizer: byte-level BPE with one token for each mark between turns.

A conversation is `<|begin|>`, then for each turn `<|user|>` or `<|bot|>`, the text and
`<|end|>`. What people type never becomes such a mark: text is encoded with
`split_special_tokens`, so that a typed "<|end|>" is eight ordinary tokens.
"""
# pyright: reportUnknownMemberType=false
# The stubs of torch and transformers are partial.

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, BEGIN, USER, BOT, END = "<|pad|>", "<|begin|>", "<|user|>", "<|bot|>", "<|end|>"
SPECIAL_TOKENS = (PAD, BEGIN, USER, BOT, END)
VOCABULARY = 4096
CONTEXT = 512

# A system message is accepted and left out: the model was not trained with one.
CHAT_TEMPLATE = (
    "{{- '<|begin|>' -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    "{{- '<|user|>' + message['content'] | trim + '<|end|>' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- '<|bot|>' + message['content'] | trim + '<|end|>' -}}"
    "{%- elif message['role'] != 'system' -%}"
    "{{- raise_exception('roles are user, assistant and system') -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|bot|>' -}}{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """A byte-level BPE over the texts; the special tokens have the ids 0 to 4."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files from which `AutoTokenizer` loads it, chat template included."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=[USER, BOT],
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
        padding_side="left",
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The saved tokenizer, set to treat typed special tokens as plain text."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def special_id(token: str) -> int:
    """The id of a special token."""
    return SPECIAL_TOKENS.index(token)
