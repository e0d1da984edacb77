"""Running the command line as its users do."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.__main__ import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Run a command in this process."""
    code = main(arguments)
    said = capsys.readouterr()
    return Outcome(code, said.out, said.err)


def run_apart(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, code: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own; with `code`, that is run after the command."""
    program = f"import sys; from bot.__main__ import main; r = main({list(arguments)!r}); {code}"
    return subprocess.run(
        [sys.executable, "-c", f"{program or 'pass'}\nsys.exit(r)"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **(environment or {})},
    )
