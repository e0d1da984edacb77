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
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.requirements import ROOT, SetupError, requirement_name, requirements
from scripts.setup_environment import NEWEST_PYTHON, Plan, prepare, say

TESTED_PYTHON = (3, 11)
LEFT_OUT = frozenset({"torch", "transformers", "pyright", "ruff", "import-linter"})


def other_minors() -> range:
    """The minor versions beside the one that runs every test."""
    return range(TESTED_PYTHON[1] + 1, NEWEST_PYTHON[1] + 1)


def torch_free(lines: Iterable[str]) -> tuple[str, ...]:
    """The requirement lines without torch, what is useless without it, and the static checks."""
    return tuple(line for line in lines if requirement_name(line) not in LEFT_OUT)


def pytest_arguments(pyproject: str) -> list[str]:
    """Leaves out the test folders that pyproject.toml names as needing torch."""
    folders = tomllib.loads(pyproject)["tool"]["fireside"]["torch-tests"]
    return ["-q", *(f"--ignore={folder}" for folder in folders)]


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


def run_tests(python: Path, minor: int) -> bool:
    """Whether the torch-free tests pass under this interpreter. Raises SetupError."""
    wanted = torch_free(requirements(ROOT, extras=("dev",)))
    plan = Plan(ROOT / f".venv-3.{minor}", str(python), wanted)
    prepare(plan)
    arguments = pytest_arguments((ROOT / "pyproject.toml").read_text())
    say(f"tests without torch, Python 3.{minor} ({python})")
    return subprocess.run([plan.venv_python, "-m", "pytest", *arguments], cwd=ROOT).returncode == 0


def main() -> int:
    """Returns 0 unless a test failed or an environment could not be made."""
    failed: list[str] = []
    for minor in other_minors():
        python = find_python(minor)
        if python is None:
            say(f"Python 3.{minor}: not found on this machine, so its types alone are checked")
            continue
        try:
            passed = run_tests(python, minor)
        except SetupError as error:
            say(str(error))
            passed = False
        if not passed:
            failed.append(f"3.{minor}")
    if failed:
        say(f"the tests without torch failed under Python {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
