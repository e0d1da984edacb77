"""`python -m bench.logits FOLDER MODEL...`: how far fewer bits move a model's logits.

Random weights at real dimensions say nothing of quality, but how much of the logits the rounding
moves they do say: the difference to those of 32 bits, as a share of their norm, and how often the
likeliest token stays the same. Random weights have no likely token, so that the second figure is
the worst case. FOLDER keeps the weights.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from bench.checkpoints import make
from bench.loaded import loaded
from bot.engine.checkpoint.loading import Checkpoint

ROWS = 8
TOKENS = 32
WAYS: Mapping[str, tuple[bool, int | None]] = {
    "fp32, 8 bits": (True, 8),
    "fp32, 4 bits": (True, 4),
    "as it runs here": (False, None),
    "as it runs here, 8 bits": (False, 8),
    "as it runs here, 4 bits": (False, 4),
}
"""Whether in exact mode, and the bits of a weight."""


def main() -> None:
    """Measure and print a table."""
    folder, *names = sys.argv[1:]
    print("| model | weights | kernel | logit error | same first choice |")
    print("| --- | --- | --- | --- | --- |")
    for name in names:
        weights = make(name, Path(folder))
        expected = _forward(loaded(name, weights, exact=True))
        for way, (exact, bits) in WAYS.items():
            checkpoint = loaded(name, weights, exact=exact, bits=bits)
            found = _forward(checkpoint)
            error = float((found - expected).square().sum() / expected.square().sum()) ** 0.5
            same = float((found.argmax(-1) == expected.argmax(-1)).float().mean())
            print(
                f"| {name} | {way} | {checkpoint.kernel} | {error:.4f} | {same:.1%} |", flush=True
            )


def _forward(checkpoint: Checkpoint) -> torch.Tensor:
    """The logits after each of some fixed tokens: [rows, tokens, vocabulary]."""
    drawn = torch.Generator().manual_seed(7)
    ids = torch.randint(5, 1000, (ROWS, TOKENS), generator=drawn)
    extra: Mapping[str, torch.Tensor] = {}
    if checkpoint.start_id is not None:
        answers = torch.randint(5, 1000, (ROWS, TOKENS), generator=drawn)
        answers[:, 0] = checkpoint.start_id
        extra = {"decoder_input_ids": answers}
    with torch.inference_mode():
        return checkpoint.model(input_ids=ids, **extra).logits.float()


if __name__ == "__main__":
    main()
