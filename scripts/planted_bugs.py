"""Plants one mistake after another in a copy of the source and says which ones the tests notice.

Run as ``make planted-bugs``, or with words to take only mistakes in files whose paths have one of
them. Every mistake of `tests/planted_bugs.toml` names the tests that should fail. It is a check of
the tests: whoever makes them faster or fewer runs it before and after.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.requirements import ROOT

LIST = ROOT / "tests" / "planted_bugs.toml"
SOME_TEST_FAILED = 1
"""pytest's exit status; any other that is not 0 means that the tests did not run."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake: in `file` the text `old`, which is there once, becomes `new`."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def title(self) -> str:
        """What is changed, in a line."""
        return f"{self.file}: {self.old.strip().splitlines()[0]}"


def read_bugs(text: str) -> list[Bug]:
    """The mistakes of a list."""
    return [
        Bug(one["file"], one["old"], one["new"], tuple(one["tests"]))
        for one in tomllib.loads(text)["bug"]
    ]


def chosen(bugs: Sequence[Bug], words: Sequence[str]) -> list[Bug]:
    """The mistakes in files whose paths have one of the words; all without words."""
    return [bug for bug in bugs if not words or any(word in bug.file for word in words)]


def copy_source(folder: Path) -> None:
    """Copy every file that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


@contextmanager
def planted(bug: Bug, folder: Path) -> Generator[None]:
    """The mistake is in the copy while the block runs."""
    file = folder / bug.file
    right = file.read_text("utf-8")
    if right.count(bug.old) != 1:
        raise ValueError(f"{bug.title}: the text is not there once; mend {LIST.name}")
    file.write_text(right.replace(bug.old, bug.new), "utf-8")
    try:
        yield
    finally:
        file.write_text(right, "utf-8")


def outcome(bug: Bug, folder: Path) -> str:
    """The words "caught" or "NOT CAUGHT", or why the tests did not run."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    with planted(bug, folder):
        finished = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *bug.tests],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
    if finished.returncode in (0, SOME_TEST_FAILED):
        return "caught" if finished.returncode else "NOT CAUGHT"
    return "did not run: " + (finished.stdout + finished.stderr).strip().splitlines()[-1]


def main(words: Sequence[str]) -> int:
    """Returns 0 if the tests notice every mistake."""
    bugs = chosen(read_bugs(LIST.read_text("utf-8")), words)
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        copy_source(Path(name))
        for bug in bugs:
            found = outcome(bug, Path(name))
            missed += found != "caught"
            print(f"{found:10}  {bug.title}", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} planted bugs are caught.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
