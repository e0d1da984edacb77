"""What fewer bits a weight cost the embedded model: its held-out bits per character."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from bot.engine.checkpoint.block_quantization import reduce_to_blocks
from bot.engine.checkpoint.quantization import quantize
from training.likelihood import held_out_text, model_bits
from training.model import load_model
from training.prepared import load_split
from training.tokenizer import load_tokenizer

WAYS: Mapping[str, Callable[[nn.Module, torch.dtype], object]] = {
    "": lambda _model, _dtype: None,
    ", 8 bits": lambda model, _dtype: quantize(cast("PreTrainedModel", model), 8),
    ", 8 bits and states of 8 bits": lambda model, dtype: _reduced(model, 8, dtype),
    ", 4 bits": lambda model, _dtype: quantize(cast("PreTrainedModel", model), 4),
    ", 4 bits and states of 8 bits": lambda model, dtype: _reduced(model, 4, dtype),
}


def _reduced(model: nn.Module, bits: int, dtype: torch.dtype) -> bool:
    return reduce_to_blocks(cast("PreTrainedModel", model), bits, dtype, lambda _share: None)


def fewer_bits(work: Path, builtin: Path) -> dict[str, float]:
    """Bits per character on the held-out split, by format and bits a weight."""
    folder = builtin / "model"
    text = held_out_text(load_split(work).held_out, load_tokenizer(folder))
    found: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        for way, reduce in WAYS.items():
            model = load_model(folder)
            cast("nn.Module", model).to(dtype)
            reduce(model, dtype)
            name = str(dtype).removeprefix("torch.") + way
            found[name] = model_bits(model, text)
    return found
