"""`fireside doctor` on this machine, without a platform."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.engine.past_runs import PastRuns
from bot.engine.run_mode import Cause, Reason, RunMode
from bot.platforms.configuration import load_settings
from config.owner_models import catalogue_with
from tests.cli.running import run
from tests.doubles.loopback_hub import write_model
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
    names = (
        "configuration", "data folder", "database", "disk", "model", "engine", "memory",
        "platforms",
    )  # fmt: skip
    assert subjects == [f"ok   {name}" for name in names]


def test_a_model_that_is_not_here_names_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_MODEL", "blenderbot")
    said = run(capsys, "doctor")
    assert said.code == 1
    assert "FIX  model: " in said.out
    assert "fireside models pull blenderbot" in said.out


def test_a_default_model_that_runs_in_a_fallback_is_a_finding(
    capsys: pytest.CaptureFixture[str],
    workplace: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = workplace / "strange"
    write_model(model)
    (model / "config.json").write_text('{"model_type": "gpt2"}')
    (workplace / "fireside.toml").write_text(f'[models.strange]\nfolder = "{model}"\n')
    monkeypatch.setenv("FIRESIDE_MODEL", "strange")
    said = run(capsys, "doctor")
    assert said.code == 1
    assert "FIX  engine: strange answers one question at a time, because Fireside" in said.out
    assert "that `fireside models list` shows as batched" in said.out
    entry = catalogue_with(load_settings().settings.models).get("strange")
    refused = (Reason(Cause.KERNELS_REFUSED, "off by 4"),)
    PastRuns(folder).note(entry, model, RunMode(True, False, "bf16", reasons=refused))
    said = run(capsys, "doctor")
    assert "its compiled kernels failed the check (off by 4) (when it was last loaded)" in said.out
    assert "Update Fireside" in said.out
    off = (Reason(Cause.SWITCHED_OFF, "ENGINE_KERNELS"),)
    PastRuns(folder).note(entry, model, RunMode(True, False, "fp32", reasons=off))
    said = run(capsys, "doctor")
    assert "because ENGINE_KERNELS switches our kernels off" in said.out
    assert "Unset ENGINE_KERNELS." in said.out


def test_a_pause_is_told_with_how_to_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "pause")
    said = run(capsys, "doctor")
    assert said.code == 1
    assert "FIX  pause: Fireside is paused and answers nobody." in said.out
    assert "fireside resume" in said.out
    run(capsys, "resume")
    assert "pause: " not in run(capsys, "doctor").out


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
