"""`python -m bench`: the engine beside plain `generate`, for a model and numbers of conversations.

Each figure is the median of alternating runs in processes of their own, and the ratio is what
counts: machines are noisy.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.checkpoints import make, names
from bench.measure import Measured, median_of
from config.catalogue import BUILTIN

WAYS = ("generate", "engine")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--model", default=BUILTIN, choices=names(), help="what to measure")
    parser.add_argument("--n", default="1,4", help="numbers of conversations, such as 1,4,8")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way")
    given = parser.parse_args(arguments)
    counts = [int(number) for number in given.n.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(given.model, Path(scratch))
        rows = [
            (count, way, measured)
            for count in counts
            for way, measured in _alternate(given.model, folder, count, given.repeats).items()
        ]
    Console().print(_table(given.model, rows))
    return 0


def _alternate(model: str, folder: Path, count: int, repeats: int) -> dict[str, Measured]:
    runs: dict[str, list[Measured]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            command = [sys.executable, "-m", "bench.measure", way, model, str(folder), str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
            runs[way].append(Measured(**json.loads(done.stdout.splitlines()[-1])))
    return {way: median_of(measured) for way, measured in runs.items()}


def _table(model: str, rows: Sequence[tuple[int, str, Measured]]) -> Table:
    table = Table(title=f"{model}: medians; ratio to generate one after another (fp32)")
    for heading in ("N", "way", "tokens/s", "ratio", "first token", "load", "lag p99", "memory"):
        table.add_column(heading, justify="right")
    plain = {count: measured for count, way, measured in rows if way == "generate"}
    for count, way, measured in rows:
        table.add_row(
            str(count),
            way,
            f"{measured.tokens_per_s:.1f}",
            f"{measured.tokens_per_s / plain[count].tokens_per_s:.2f}",
            _milliseconds(measured.first_token_p50_s),
            f"{measured.load_s:.2f} s",
            f"{measured.lag_p99_ms:.2f} ms" if way == "engine" else "-",
            f"{measured.memory_mib:.0f} MiB",
        )
    return table


def _milliseconds(seconds: float) -> str:
    """Random weights may say nothing that is text: then there is no first word to time."""
    return "-" if math.isnan(seconds) else f"{1000 * seconds:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
