"""Whether a batch gives what the model itself gives, checked once when a model is loaded.

Two rows of different lengths, the second joining while the first decodes, beside a forward pass of
each whole text without any cache.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import cast

import torch

from bot.engine.base import SamplingParameters
from bot.engine.byte_states import has_bytes
from bot.engine.checkpoint import Checkpoint
from bot.engine.decoding import Row
from bot.engine.slot_batch import SlotBatch

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
"""Largest norm of the difference between logits, as a share of theirs. In bf16 whoever rounds at
other places gives others: those of trained models and of usual random weights are 0.01 to 0.04 from
fp32 either way, what is computed wrongly is 1 from it or more."""

BYTES_TOLERANCE = 0.1
"""The same where states become bytes: one that is rounded the other way is another by a hundredth,
whatever the precision around it."""

GREEDY = SamplingParameters(temperature=0, max_tokens=16)

PROMPTS = ((3, 5, 7, 9, 4, 6, 8), (6, 3, 8))


def agrees_with_single_rows(
    checkpoint: Checkpoint, batch: SlotBatch, between_passes: Callable[[], None] = lambda: None
) -> bool:
    """Feed two rows together and compare every row's logits."""
    size = checkpoint.tokenizer.size
    rows = [Row(checkpoint, [token % size for token in prompt], GREEDY) for prompt in PROMPTS]
    batch.join(rows[0])
    while rows[0] not in _step(batch, [], between_passes):
        pass
    batch.join(rows[1])
    compared: list[bool] = []
    while rows[1] not in _step(batch, compared, between_passes):
        pass
    for _ in range(3):
        _step(batch, compared, between_passes)
    for row in rows:
        batch.leave(row)
    return all(compared)


def _step(
    batch: SlotBatch, compared: list[bool], between_passes: Callable[[], None]
) -> Sequence[Row]:
    """One pass; whether the logits of each of its rows are right."""
    rows = batch.step()
    for row in rows:
        between_passes()
        compared.append(_is_close(batch.checkpoint, row))
        row.history.append(len(row.history) % batch.checkpoint.tokenizer.size)
    return rows


def _is_close(checkpoint: Checkpoint, row: Row) -> bool:
    assert row.logits is not None
    device = checkpoint.blueprint.device
    history = torch.tensor([row.history], device=device)
    with torch.inference_mode():
        if row.source:
            output = checkpoint.model(
                input_ids=torch.tensor([row.source], device=device), decoder_input_ids=history
            )
        else:
            output = checkpoint.model(input_ids=history)
    expected = cast("torch.Tensor", output.logits[0, -1]).float()
    difference = float((row.logits - expected).norm())
    dtype = checkpoint.blueprint.dtype
    tolerance = BYTES_TOLERANCE if has_bytes(checkpoint.model) else TOLERANCE.get(dtype, 0.1)
    return difference <= tolerance * float(expected.norm())
