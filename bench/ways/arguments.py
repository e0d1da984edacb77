"""What a way's program is given, and how it answers. Standard library only."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.workload import Measured

ALLOW_FALLBACK = "BENCH_ALLOW_FALLBACK"
"""The variable that lets the engine be measured although it runs a model in a fallback."""

FALLBACK = "fallback: "
"""What a line of the standard error begins with that says why there is one."""

ADVICE = "To measure it all the same, add --allow-fallback"
"""What follows the reason for which the engine is not measured."""

FALLBACK_CODE = 3
"""The exit code of a program that refuses to measure one."""

NICE = 10
"""The priority of the engine's thread: every way computes with the same."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """A checkpoint's name and folder, how many conversations, and the way's own option."""

    option: str
    model: str
    folder: Path
    count: int


def allows_fallback() -> bool:
    """Whether a fallback of the engine may be measured."""
    return os.environ.get(ALLOW_FALLBACK) == "1"


def tell_fallback(reason: str) -> None:
    """Tell the parent process that what is measured is a fallback."""
    print(FALLBACK + reason, file=sys.stderr)


def run(measure: Callable[[Arguments], Measured], *, lowers_itself: bool = False) -> None:
    """Measure as the command line says and print the figures.

    A way that does not lower its own priority is started with that of the engine's thread, so that
    other programs of the machine take as much from each.
    """
    if not lowers_itself and hasattr(os, "nice"):
        os.nice(NICE)
    option, model, folder, count = sys.argv[1:5]
    print(json.dumps(asdict(measure(Arguments(option, model, Path(folder), int(count))))))
