"""What the targets of the Makefile run: as `make --dry-run` prints it, and `make chat` itself with
a stand-in for the installed program.
"""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.requirements import ROOT

VERSIONS = ("3.11", "3.12", "3.13", "3.14")

ASKING = """#!/bin/sh
[ "$1" = models ] && read answer && echo "$answer" > answered
exit 0
"""

PROGRAM = """#!/bin/sh
echo "$@" >> calls
case "$*" in
    "models starter") cat >> swallowed; exit %d ;;
    chat*) cat ;;
esac
"""


@pytest.mark.parametrize("status", [0, 1])
def test_chat_begins_after_the_starter_was_fetched_or_could_not_be(
    tmp_path: Path, status: int
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "fireside"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM % status)
    program.chmod(0o755)
    command = ["make", "--silent", "chat", "SETUP=@true", "ARGS=--raw"]
    finished = subprocess.run(
        command, cwd=tmp_path, input="hello\n", capture_output=True, text=True
    )
    assert (finished.returncode, finished.stdout) == (0, "hello\n"), finished.stderr
    assert (tmp_path / "calls").read_text().splitlines() == ["models starter", "chat --raw"]
    assert (tmp_path / "swallowed").read_text() == ""


def test_on_a_terminal_the_first_model_can_be_asked_for(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "fireside"
    program.parent.mkdir(parents=True)
    program.write_text(ASKING)
    program.chmod(0o755)
    typing, terminal = pty.openpty()
    try:
        os.write(typing, b"2\n")
        command = ["make", "--silent", "chat", "SETUP=@true"]
        finished = subprocess.run(command, cwd=tmp_path, stdin=terminal, timeout=30)
    finally:
        os.close(typing)
        os.close(terminal)
    assert finished.returncode == 0
    assert (tmp_path / "answered").read_text() == "2\n"


def commands(*targets: str) -> str:
    """What make would run."""
    asked = ["make", "--dry-run", "--no-print-directory", *targets]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def checked_types(printed: str) -> list[str]:
    return [one for one in VERSIONS if f"--pythonversion {one}" in printed]


def test_every_run_checks_lint_contracts_and_the_oldest_and_newest_types() -> None:
    printed = commands("test")
    assert checked_types(printed) == ["3.11", "3.14"]
    for tool in ("ruff format --check", "ruff check", "lint-imports", "pytest -n logical"):
        assert tool in printed


def test_all_adds_the_other_types_and_pythons_coverage_and_a_cut_of_the_fuzz() -> None:
    printed = commands("test-all")
    assert checked_types(printed) == [*VERSIONS]
    for command in ("scripts.torch_free_tests", "--cov ", "FUZZ_SEQUENCES="):
        assert command in printed


def test_each_change_runs_test_and_then_the_rest_of_all() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    asked = [line.split()[1] for line in lines if line.startswith("make ")]
    assert asked == ["test", "test-rest"]
    both = commands(*asked).splitlines()
    assert set(commands("test-all").splitlines()) <= set(both)
