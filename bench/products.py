"""`python -m bench.products MODEL [FOLDER]`: what a decode step's matrix products take.

By the clock, with as many threads as torch takes: run it on a machine that does nothing else. The
products of one step are done again by themselves, one after another with the same inputs; what a
step takes beyond that is norms, attention, caches and the way between them. FOLDER keeps random
weights. `--bits 8` and `--exact` load them so; `--allow-fallback` measures a model that runs slower
than it should.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from bench.checkpoints import make
from bench.loaded import loaded, measured_batch, parser_of
from bench.rows import join, make_rows, step
from bot.engine.batching.batch import Batch
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.kernels import packing

STEPS = 30
COUNTS = (1, 16)
Product = Callable[[], torch.Tensor]


def main() -> None:
    """Measure one model and print a table."""
    parser = parser_of("products", __doc__)
    parser.add_argument("--bits", type=int, choices=(4, 8))
    parser.add_argument("--exact", action="store_true")
    asked = parser.parse_args()
    name: str = asked.model
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(name, Path(asked.folder or scratch))
        checkpoint = loaded(name, folder, exact=asked.exact, bits=asked.bits)
    batch = measured_batch(checkpoint, allow_fallback=asked.allow_fallback)
    print(f"| {name}, {checkpoint.kernel}: rows | products | a step | its products alone | share |")
    print("|---|---|---|---|---|")
    for count in COUNTS:
        print(_measured(checkpoint, batch, count), flush=True)


def _measured(checkpoint: Checkpoint, batch: Batch, count: int) -> str:
    """A line of the table."""
    rows = make_rows(checkpoint, count)
    join(batch, rows)
    products = _products(batch)
    step_s, alone_s = _medians_s(lambda: step(batch), lambda: _multiply(products))
    for row in rows:
        batch.leave(row)
    shown = f"{1000 * step_s:.1f} ms | {1000 * alone_s:.1f} ms | {alone_s / step_s:.0%}"
    return f"| {count} | {len(products)} | {shown} |"


def _products(batch: Batch) -> list[Product]:
    """The packed products of one step, with what each was given."""
    found: list[Product] = []
    multiply = packing._multiply  # pyright: ignore[reportPrivateUsage]

    def noted(product: packing.Product, states: torch.Tensor) -> torch.Tensor:
        given = states.clone()
        found.append(lambda: product(given))
        return multiply(product, states)

    packing._multiply = noted  # pyright: ignore[reportPrivateUsage]
    try:
        step(batch)
    finally:
        packing._multiply = multiply  # pyright: ignore[reportPrivateUsage]
    return found


def _multiply(products: list[Product]) -> None:
    with torch.inference_mode():
        for product in products:
            product()


def _medians_s(*works: Callable[[], object]) -> list[float]:
    """The median time of each, taken in turn."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(STEPS):
        for work, took in zip(works, times, strict=True):
            began_s = time.perf_counter()
            work()
            took.append(time.perf_counter() - began_s)
    return [median(took) for took in times]


if __name__ == "__main__":
    main()
