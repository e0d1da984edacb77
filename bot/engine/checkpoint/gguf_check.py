"""Whether a GGUF file can be used here and what it takes, by its header: without torch.

The lists repeat what transformers and our reader can do, since asking them takes seconds of
imports; a test compares them.
"""

from pathlib import Path

from bot.engine.checkpoint.files import (
    CHAT_TEMPLATE,
    DamagedCheckpoint,
    Weights,
    inspect_weights,
    template_beside,
)
from bot.engine.kernels.block_format import BY_NUMBER, BlockFormat
from bot.engine.text.families import GGUF_ALIASES
from config.gguf_header import GgufHeader, GgufTensor

ARCHITECTURES = frozenset(
    {
        "bloom", "deci", "falcon", "gemma2", "gemma3", "gemma4", "gpt2", "gpt_oss", "lfm2", "llama",
        "mamba", "minimax_m2", "mistral", "nemotron", "phi3", "qwen2", "qwen2_moe", "qwen3",
        "qwen3_moe", "stablelm", "starcoder2", "t5", "umt5",
    }
)  # fmt: skip
"""What transformers reads from GGUF files, in its own names."""

QUANTISATIONS = frozenset(
    {
        "BF16", "F16", "F32", "IQ1_M", "IQ1_S", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ3_S", "IQ3_XXS",
        "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K", "Q5_0",
        "Q5_1", "Q5_K", "Q6_K", "Q8_0", "TQ1_0", "TQ2_0",
    }
)  # fmt: skip
"""GGML's names of the ways to store weights that can be read."""

TEMPLATE = "tokenizer.chat_template"
"""GGUF's name of a chat template."""

HALF_BYTES = 2


def check_gguf(place: Path, weights: Weights, *, needs_template: bool) -> None:
    """Refuse, before anything costly, a GGUF file that could not be used; what is no GGUF file
    passes. `place` is the file or its folder. Raises `DamagedCheckpoint`."""
    kind, header, file = weights.architecture, weights.header, weights.gguf_file
    if kind is None or header is None or file is None:
        return
    if GGUF_ALIASES.get(kind, kind.replace("-", "_")) not in ARCHITECTURES:
        raise DamagedCheckpoint(
            f"transformers does not read {kind} models from GGUF files: take its safetensors, or "
            "let llama.cpp serve the file (docs/scaling.md)"
        )
    _check_parts(file, header)
    _check_quantisations(file, header)
    if needs_template and not (template_beside(_file(place, file)) or header.values.get(TEMPLATE)):
        raise DamagedCheckpoint(
            f"{file} has no chat template: put the model's own beside it, as {CHAT_TEMPLATE}"
        )


def _file(place: Path, name: str) -> Path:
    return place if place.is_file() else place / name


def _check_parts(file: str, header: GgufHeader) -> None:
    parts = header.values.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise DamagedCheckpoint(
            f"{file} is one of {parts} parts of a model: join them with llama-gguf-split --merge"
        )


def _check_quantisations(file: str, header: GgufHeader) -> None:
    # Imported here: it brings numpy, and few checkpoints are of this kind.
    from gguf import GGMLQuantizationType

    names = (GGMLQuantizationType(tensor.kind).name for tensor in header.tensors)
    unknown = next((name for name in names if name not in QUANTISATIONS), None)
    if unknown is not None:
        raise DamagedCheckpoint(
            f"{file} has weights in a quantisation that cannot be read here ({unknown}): "
            "take the model as Q4_K_M or Q8_0"
        )


def chat_model_bytes(file: Path) -> int:
    """What the weights of a chat model in a GGUF file take in memory. Raises `DamagedCheckpoint`
    where it cannot be used."""
    weights = inspect_weights(file)
    check_gguf(file, weights, needs_template=True)
    assert weights.header is not None
    return bytes_in_blocks(weights.header, HALF_BYTES)


def bytes_in_blocks(header: GgufHeader, itemsize: int) -> int:
    """What a file's weights take where its matrices stay in their blocks, and what else there is
    takes so many bytes an element."""
    return sum(
        each.elements * itemsize if kind is None else each.elements // kind.inputs * kind.raw_bytes
        for each in header.tensors
        for kind in (block_format(each),)
    )


def block_format(tensor: GgufTensor) -> BlockFormat | None:
    """How a tensor stays in memory as it is in the file; None where it is unpacked."""
    return BY_NUMBER.get(tensor.kind) if len(tensor.shape) == 2 else None
