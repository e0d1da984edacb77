"""What a way's program is given, and how it answers. Standard library only."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.workload import Measured


@dataclass(frozen=True, slots=True)
class Arguments:
    """A checkpoint's name and folder, how many conversations, and the way's own option."""

    option: str
    model: str
    folder: Path
    count: int


def run(measure: Callable[[Arguments], Measured]) -> None:
    """Measure as the command line says and print the figures."""
    option, model, folder, count = sys.argv[1:5]
    print(json.dumps(asdict(measure(Arguments(option, model, Path(folder), int(count))))))
