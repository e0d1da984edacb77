"""`python -m bench.processor_time MODEL [FOLDER]`: joins and decode steps in processor time.

One thread, counted while it runs: on a machine that others use as well these figures hold where
clocks on the wall do not. FOLDER keeps random weights.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from bench.checkpoints import entry_for, make
from bot.engine.base import SamplingParameters
from bot.engine.batch import Batch, batch_for
from bot.engine.checkpoint import Checkpoint, load_checkpoint, read_blueprint
from bot.engine.decoding import Row

PROMPT_TOKENS = 32
STEPS = 12
COUNTS = (1, 16)
ANSWER_TOKENS = 48
GREEDY = SamplingParameters(temperature=0)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that so many rows take: to join together, and for each step."""

    kernel: str
    rows: int
    join_s: float
    step_s: float

    @property
    def answers_s(self) -> float:
        """What one answer of each row takes."""
        return self.join_s + ANSWER_TOKENS * self.step_s


def main() -> None:
    """Measure one model in fp32 and as it runs here, one row and sixteen."""
    torch.set_num_threads(1)
    name, *folder = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        costs = list(_costs(name, make(name, Path(folder[0] if folder else scratch))))
    serial = costs[0]
    print("| kernel | rows | join | step | step to one row's | answers to fp32 one by one |")
    print("| --- | --- | --- | --- | --- | --- |")
    for cost in costs:
        alone = next(one for one in costs if (one.kernel, one.rows) == (cost.kernel, 1))
        print(
            f"| {cost.kernel} | {cost.rows} | {1000 * cost.join_s:.0f} ms "
            f"| {1000 * cost.step_s:.1f} ms | {cost.step_s / alone.step_s:.2f} "
            f"| {cost.rows * serial.answers_s / cost.answers_s:.1f} |"
        )


def _costs(name: str, folder: Path) -> Iterator[Cost]:
    for exact in (True, False):
        blueprint = read_blueprint(
            entry_for(name, folder), folder, torch.device("cpu"), exact=exact
        )
        checkpoint = load_checkpoint(blueprint, lambda _fraction: None)
        batch = batch_for(checkpoint)
        for count in COUNTS:
            yield _cost(checkpoint, batch, count)


def _cost(checkpoint: Checkpoint, batch: Batch, count: int) -> Cost:
    prompts = [[(7 * row + at) % 1000 + 5 for at in range(PROMPT_TOKENS)] for row in range(count)]
    rows = [Row(checkpoint, prompt, GREEDY) for prompt in prompts]
    began_s = time.thread_time()
    for row in rows:
        batch.join(row)
    begun: set[Row] = set()
    while len(begun) < count:
        begun.update(_step(batch))
    join_s = time.thread_time() - began_s
    took_s: list[float] = []
    for _ in range(STEPS):
        began_s = time.thread_time()
        _step(batch)
        took_s.append(time.thread_time() - began_s)
    for row in rows:
        batch.leave(row)
    return Cost(checkpoint.kernel, count, join_s, median(took_s))


def _step(batch: Batch) -> list[Row]:
    """A step after which each row says some token."""
    ready = list(batch.step())
    for row in ready:
        row.history.append(11)
    return ready


if __name__ == "__main__":
    main()
