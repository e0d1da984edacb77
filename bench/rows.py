"""Rows in a batch without an engine around them: they say always the same token. Imports torch."""

from collections.abc import Sequence

from bot.engine.base import SamplingParameters
from bot.engine.batching.batch import Batch
from bot.engine.batching.row import Row
from bot.engine.checkpoint.loading import Checkpoint

PROMPT_TOKENS = 32
SAID = 11
GREEDY = SamplingParameters(temperature=0)


def make_rows(checkpoint: Checkpoint, count: int) -> list[Row]:
    """So many rows with prompts that differ."""
    prompts = [[(7 * row + at) % 1000 + 5 for at in range(PROMPT_TOKENS)] for row in range(count)]
    return [Row(checkpoint, prompt, GREEDY) for prompt in prompts]


def join(batch: Batch, rows: Sequence[Row]) -> None:
    """Let rows in and step until all of them decode."""
    for row in rows:
        batch.join(row)
    begun: set[Row] = set()
    while len(begun) < len(rows):
        begun.update(step(batch))


def step(batch: Batch) -> list[Row]:
    """A step after which each row that was ready has said a token."""
    ready = list(batch.step())
    for row in ready:
        row.history.append(SAID)
    return ready
