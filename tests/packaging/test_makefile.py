"""What `make chat` runs, with a stand-in for the installed program."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.requirements import ROOT

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
