"""Checkpoints to measure: the embedded model, and random weights at real models' dimensions.

Speed does not depend on the values of the weights (but where tokens are guessed, which the
benchmark does not do with them), so nothing is downloaded. Dimensions are those of the models'
published configurations.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from shutil import copy
from typing import Any

from bot.engine.checkpoint.files import gguf_in
from config.catalogue import BUILTIN, Family, ModelEntry
from config.checkpoint_facts import read_facts

EMBEDDED = Path(__file__).parent.parent / "bot" / "builtin" / "model"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
WEIGHTS = {".safetensors", ".gguf"}

MOST_CONTEXT = 4096
"""No answer here needs more."""

GPT_LIKE = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


@dataclass(frozen=True, slots=True)
class Dimensions:
    """One real model's architecture in transformers' terms."""

    family: Family
    architecture: str
    context_tokens: int
    config: Mapping[str, object]


REAL: Mapping[str, Dimensions] = {
    "flan-t5-small": Dimensions(
        Family.FLAN_T5,
        "T5",
        512,
        {
            "vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8,
            "num_heads": 6, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
            "decoder_start_token_id": 0,
        },
    ),
    "flan-t5-base": Dimensions(
        Family.FLAN_T5,
        "T5",
        512,
        {
            "vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12,
            "num_heads": 12, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
            "decoder_start_token_id": 0,
        },
    ),
    "blenderbot": Dimensions(
        Family.BLENDERBOT,
        "Blenderbot",
        128,
        {
            "vocab_size": 8008, "d_model": 1280, "encoder_layers": 2, "decoder_layers": 12,
            "encoder_attention_heads": 32, "decoder_attention_heads": 32,
            "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120, "max_position_embeddings": 128,
            "decoder_start_token_id": 1,
        },
    ),
    "smollm2-135m": Dimensions(
        Family.CHAT,
        "Llama",
        2048,
        {
            "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "max_position_embeddings": 8192, "tie_word_embeddings": True,
        },
    ),
    "qwen3-0.6b": Dimensions(
        Family.CHAT,
        "Qwen3",
        4096,
        {
            "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
            "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
            "head_dim": 128, "max_position_embeddings": 40960, "tie_word_embeddings": True,
        },
    ),
}  # fmt: skip
"""What can be measured beside the embedded model."""


def names() -> list[str]:
    """Every model that can be measured without its weights."""
    return [BUILTIN, *REAL]


def entry_for(name: str, folder: Path) -> ModelEntry:
    """A catalogue entry for the checkpoint in a folder; its family is the architecture's."""
    family, context_tokens = _known(name) or _read(folder)
    return ModelEntry(
        name=name,
        title=name,
        family=family,
        description="Measured here.",
        licence="none",
        folder=folder,
        context_tokens=context_tokens,
        weight_bytes=1,
    )


def _known(name: str) -> tuple[Family, int] | None:
    real = REAL.get(name)
    return None if real is None else (real.family, real.context_tokens)


def _read(folder: Path) -> tuple[Family, int]:
    if gguf_in(folder) is not None:
        return Family.CHAT, min(read_facts(folder).context_tokens or MOST_CONTEXT, MOST_CONTEXT)
    config = json.loads((folder / "config.json").read_text())
    families = {"t5": Family.FLAN_T5, "blenderbot": Family.BLENDERBOT}
    positions = config.get("max_position_embeddings", config.get("n_positions", 512))
    return families.get(config["model_type"], Family.CHAT), min(positions, MOST_CONTEXT)


def decode_bytes(folder: Path, bytes_each: int = 2) -> int:
    """Bytes of weights that one decode step reads, at two bytes a weight.

    That is everything but the encoder, and but an input embedding that is no output layer too.
    """
    gguf = gguf_in(folder)
    if gguf is not None:
        return _weights_in_gguf(gguf) * bytes_each
    config = json.loads((folder / "config.json").read_text())
    unread = ["encoder."]
    if not config.get("tie_word_embeddings", True):
        unread += ["embed_tokens", "shared"]
    weights = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__" and not any(part in name for part in unread):
                weights += prod(tensor["shape"])
    return weights * bytes_each


def _weights_in_gguf(file: Path) -> int:
    """The weights of a decoder that a step reads."""
    # Imported here: few checkpoints are of this kind.
    from gguf import GGUFReader

    sizes = {tensor.name: int(tensor.n_elements) for tensor in GGUFReader(file).tensors}
    unread = sizes["token_embd.weight"] if "output.weight" in sizes else 0
    return sum(sizes.values()) - unread


def make(name: str, folder: Path) -> Path:
    """The folder of a model's files; random weights are written once and kept there."""
    if name == BUILTIN:
        return EMBEDDED
    target = folder / name
    if not any(file.suffix in WEIGHTS for file in target.glob("*")):
        _write(REAL[name], target)
    return target


def _write(dimensions: Dimensions, target: Path) -> None:
    # Imported here: the benchmark's parent process must not own torch's thread pool.
    import torch
    import transformers

    config_class: Any = getattr(transformers, f"{dimensions.architecture}Config")
    is_causal = dimensions.family is Family.CHAT
    suffix = "ForCausalLM" if is_causal else "ForConditionalGeneration"
    config = config_class(**{**GPT_LIKE, **dimensions.config})
    model: Any = getattr(transformers, dimensions.architecture + suffix)(config)
    target.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(target)
    for file in TOKENIZER_FILES:
        copy(EMBEDDED / file, target)
