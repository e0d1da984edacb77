"""What a way's program is given, and how it answers. Standard library only."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.workload import Measured

NICE = 10
"""The priority of the engine's thread: every way computes with the same."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """A checkpoint's name and folder, how many conversations, and the way's own option."""

    option: str
    model: str
    folder: Path
    count: int


def run(measure: Callable[[Arguments], Measured], *, lowers_itself: bool = False) -> None:
    """Measure as the command line says and print the figures.

    A way that does not lower its own priority is started with that of the engine's thread, so that
    other programs of the machine take as much from each.
    """
    if not lowers_itself and hasattr(os, "nice"):
        os.nice(NICE)
    option, model, folder, count = sys.argv[1:5]
    print(json.dumps(asdict(measure(Arguments(option, model, Path(folder), int(count))))))
