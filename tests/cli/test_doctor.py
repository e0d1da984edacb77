"""`fireside doctor` on this machine, without a platform."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.isolation import workplace

__all__ = ["workplace"]

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_fresh_machine_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "doctor")
    assert said.code == 0, said.out
    subjects = [line.split(": ")[0] for line in said.out.splitlines()]
    names = ("configuration", "data folder", "database", "disk", "model", "memory", "platforms")
    assert subjects == [f"ok   {name}" for name in names]


def test_a_model_that_is_not_here_names_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_MODEL", "blenderbot")
    said = run(capsys, "doctor")
    assert said.code == 1
    assert "FIX  model: " in said.out
    assert "fireside models pull blenderbot" in said.out


def test_a_database_that_is_not_ours_is_told(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    folder.mkdir()
    with closing(sqlite3.connect(folder / "fireside.db")) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    said = run(capsys, "doctor")
    assert said.code == 1
    assert "FIX  database: " in said.out
    assert "another program" in said.out


def test_too_little_memory_names_the_sizes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.cli.doctor.available_bytes", lambda: 1 << 20)
    said = run(capsys, "doctor")
    assert said.code == 1
    assert "FIX  memory: 1 MiB are free; fireside needs" in said.out
