"""Runs the tests that need no torch under every other supported Python on this machine.

Run as ``make other-pythons``. Each interpreter gets an environment of its own (``.venv-3.12`` and
so on) with the pinned packages but torch, so it costs little. Which test folders need torch is told
in pyproject.toml, under ``tool.fireside``. A version that is not installed is named and passed
over; its types are checked all the same.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from scripts.requirements import ROOT, SetupError, requirement_name, requirements
from scripts.setup_environment import NEWEST_PYTHON, Plan, prepare, say

TESTED_PYTHON = (3, 11)
LEFT_OUT = frozenset(
    {"torch", "transformers", "accelerate", "numba", "pyright", "ruff", "import-linter"}
)


def other_minors() -> range:
    """The minor versions beside the one that runs every test."""
    return range(TESTED_PYTHON[1] + 1, NEWEST_PYTHON[1] + 1)


def torch_free(lines: Iterable[str]) -> tuple[str, ...]:
    """The requirement lines without torch, what is useless without it, and the static checks."""
    return tuple(line for line in lines if requirement_name(line) not in LEFT_OUT)


def pytest_arguments(pyproject: str) -> list[str]:
    """Leaves out the test folders that pyproject.toml names as needing torch."""
    folders = tomllib.loads(pyproject)["tool"]["fireside"]["torch-tests"]
    return ["-q", "-p", "no:cacheprovider", *(f"--ignore={folder}" for folder in folders)]


def candidates(minor: int) -> Iterator[Path]:
    """Where a Python of this minor version may be: on the path, or installed by pyenv."""
    name = f"python3.{minor}"
    found = shutil.which(name)
    if found is not None:
        yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob(f"versions/3.{minor}*/bin/{name}"), reverse=True)


def is_working(python: Path, minor: int) -> bool:
    """Whether it starts and is what its name says: pyenv puts names on the path that only fail."""
    question = f"import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, {minor}))"
    try:
        finished = subprocess.run([python, "-c", question], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0


def find_python(minor: int) -> Path | None:
    return next((python for python in candidates(minor) if is_working(python, minor)), None)


@dataclass(frozen=True, slots=True)
class Run:
    """The tests under one interpreter, started; their output waits in a file."""

    version: str
    process: subprocess.Popen[bytes]
    output: BinaryIO

    def finish(self) -> bool:
        """Waits, shows what the tests said and tells whether they passed."""
        status = self.process.wait()
        say(f"tests without torch, Python {self.version}")
        self.output.seek(0)
        print(self.output.read().decode(errors="replace"), end="", flush=True)
        self.output.close()
        return status == 0


def start(python: Path, version: str) -> Run:
    """Makes the environment if need be, and starts the tests in it. Raises SetupError."""
    wanted = torch_free(requirements(ROOT, extras=("dev",)))
    plan = Plan(ROOT / f".venv-{version}", str(python), wanted)
    prepare(plan)
    arguments = pytest_arguments((ROOT / "pyproject.toml").read_text())
    command = [plan.venv_python, "-m", "pytest", *arguments]
    output = tempfile.TemporaryFile()  # noqa: SIM115 - the run closes it
    process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    return Run(version, process, output)


def start_all() -> Iterator[Run | None]:
    """A run for each version found, all at once; None where the environment could not be made."""
    for minor in other_minors():
        python = find_python(minor)
        if python is None:
            say(f"Python 3.{minor}: not found on this machine, so its types alone are checked")
            continue
        try:
            yield start(python, f"3.{minor}")
        except SetupError as error:
            say(str(error))
            yield None


def main() -> int:
    """Returns 0 unless a test failed or an environment could not be made."""
    outcomes = [run is not None and run.finish() for run in list(start_all())]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
