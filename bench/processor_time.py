"""`python -m bench.processor_time MODEL [FOLDER]`: joins and decode steps in processor time.

One thread, counted while it runs: on a machine that others use as well these figures hold where
clocks on the wall do not. In fp32, as the model runs here, and with weights of 8 and 4 bits, all in
one process. FOLDER keeps random weights; `--allow-fallback` measures a model that runs slower than
it should.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from bench.checkpoints import make
from bench.loaded import loaded, measured_batch, parser_of
from bench.rows import join, make_rows, step
from bot.engine.batching.batch import Batch
from bot.engine.checkpoint.loading import Checkpoint

STEPS = 12
COUNTS = (1, 4, 16)
EXACT = (True, None)
WHOLE = (False, None)
WAYS = (EXACT, WHOLE, (False, 8), (False, 4))
"""Whether in exact mode, and the bits of a weight."""
ANSWER_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that so many rows take: to join together, and for each step."""

    way: tuple[bool, int | None]
    kernel: str
    rows: int
    join_s: float
    step_s: float

    @property
    def answers_s(self) -> float:
        """What one answer of each row takes."""
        return self.join_s + ANSWER_TOKENS * self.step_s


def main() -> None:
    """Measure one model and print a table."""
    torch.set_num_threads(1)
    asked = parser_of("processor_time", __doc__).parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(asked.model, Path(asked.folder or scratch))
        costs = list(_costs(asked.model, folder, allow_fallback=asked.allow_fallback))
    found = {(cost.way, cost.rows): cost for cost in costs}
    serial = found[EXACT, 1]
    print(
        "| kernel | rows | join | to whole weights | step | to one row's | to whole weights "
        "| answers to fp32 one by one |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (way, rows), cost in found.items():
        alone, whole = found[way, 1], found[WHOLE, rows]
        print(
            f"| {cost.kernel} | {rows} | {1000 * cost.join_s:.0f} ms "
            f"| {cost.join_s / whole.join_s:.2f} | {1000 * cost.step_s:.1f} ms "
            f"| {cost.step_s / alone.step_s:.2f} | {cost.step_s / whole.step_s:.2f} "
            f"| {rows * serial.answers_s / cost.answers_s:.1f} |"
        )


def _costs(name: str, folder: Path, *, allow_fallback: bool) -> Iterator[Cost]:
    for exact, bits in WAYS:
        checkpoint = loaded(name, folder, exact=exact, bits=bits)
        batch = measured_batch(checkpoint, allow_fallback=allow_fallback)
        for count in COUNTS:
            yield _cost((exact, bits), checkpoint, batch, count)


def _cost(way: tuple[bool, int | None], checkpoint: Checkpoint, batch: Batch, count: int) -> Cost:
    rows = make_rows(checkpoint, count)
    began_s = time.thread_time()
    join(batch, rows)
    join_s = time.thread_time() - began_s
    took_s: list[float] = []
    for _ in range(STEPS):
        began_s = time.thread_time()
        step(batch)
        took_s.append(time.thread_time() - began_s)
    for row in rows:
        batch.leave(row)
    return Cost(way, checkpoint.kernel, count, join_s, median(took_s))


if __name__ == "__main__":
    main()
