"""What fewer bits a weight cost the embedded model: its held-out bits per character."""

from pathlib import Path
from typing import cast

import torch
from torch import nn

from bot.engine.quantization import quantize
from training.likelihood import held_out_text, model_bits
from training.model import load_model
from training.prepared import load_split
from training.tokenizer import load_tokenizer

WEIGHT_BITS = (None, 8, 4)
"""None leaves the weights as they are."""


def fewer_bits(work: Path, builtin: Path) -> dict[str, float]:
    """Bits per character on the held-out split, by format and bits a weight."""
    folder = builtin / "model"
    text = held_out_text(load_split(work).held_out, load_tokenizer(folder))
    found: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        for bits in WEIGHT_BITS:
            model = load_model(folder)
            cast("nn.Module", model).to(dtype)
            if bits is not None:
                quantize(model, bits)
            name = str(dtype).removeprefix("torch.") + (f", {bits} bits" if bits else "")
            found[name] = model_bits(model, text)
    return found
