"""Runs the tests of what changed since the branch left main, uncommitted changes included.

Run as ``make quick``. A test file belongs to a change if it changed itself or names what changed: a
Python module by its dotted name, any other file by its file name. This is a quick first answer;
`make test` is the check.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from scripts.requirements import ROOT

BASES = ("origin/main", "main")
"""What is compared with, the first that this clone knows."""

NO_TESTS_COLLECTED = 5


def git(*arguments: str) -> str | None:
    """What git prints, or None where it fails."""
    finished = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)  # noqa: S607
    return finished.stdout if finished.returncode == 0 else None


def changed_files() -> list[str]:
    """Paths that differ from where the branch left main, new files included."""
    left = next((found for base in BASES if (found := git("merge-base", "HEAD", base))), "HEAD")
    tracked = git("diff", "--name-only", left.strip()) or ""
    new = git("ls-files", "--others", "--exclude-standard") or ""
    return sorted({*tracked.splitlines(), *new.splitlines()})


def naming(changed: str) -> re.Pattern[str]:
    """Matches the text of a test that names the changed file."""
    path = PurePosixPath(changed)
    if path.suffix != ".py":
        return re.compile(rf"(?<![\w-]){re.escape(path.name)}(?![\w-])")
    parts = path.with_suffix("").parts
    *room, name = parts[:-1] if parts[-1] == "__init__" else parts
    if not room:
        return re.compile(rf"\bimport {name}\b|\bfrom {name} import\b")
    package = re.escape(".".join(room))
    return re.compile(rf"\b{package}\.{name}\b|from {package} import [^\n]*\b{name}\b")


def belonging(changed: Iterable[str], tests: Iterable[str], root: Path) -> Iterator[str]:
    """The test files among `tests` that changed or name what changed."""
    paths = set(changed)
    patterns = [naming(path) for path in paths]
    for test in tests:
        text = (root / test).read_text()
        if test in paths or any(pattern.search(text) for pattern in patterns):
            yield test


def all_tests(root: Path) -> list[str]:
    """Every test file, as a path from the root."""
    found = (root / "tests").rglob("test_*.py")
    return sorted(path.relative_to(root).as_posix() for path in found)


def main(pytest_options: list[str]) -> int:
    """Returns pytest's exit status, 0 where there is nothing to run."""
    chosen = list(belonging(changed_files(), all_tests(ROOT), ROOT))
    if not chosen:
        print("No test names what changed since main.")
        return 0
    command = [sys.executable, "-m", "pytest", *pytest_options, *chosen]
    status = subprocess.run(command, cwd=ROOT).returncode
    return 0 if status == NO_TESTS_COLLECTED else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
