"""`fireside pause` and `fireside resume`."""

from pathlib import Path

import pytest

from bot.platforms.account_lock import LOCKS, account_lock
from tests.cli.running import run


def test_a_pause_is_marked_until_somebody_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(tmp_path / "data"))
    said = [run(capsys, command).out for command in ("resume", "pause", "pause", "resume")]
    beginnings = ("It was not paused", "Paused, though no bot", "Already paused", "Resumed. No bot")
    for text, beginning in zip(said, beginnings, strict=True):
        assert text.startswith(beginning)


def test_memory_is_said_to_be_freed_only_while_a_bot_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(tmp_path))
    with account_lock(tmp_path / LOCKS, "scripted:bot"):
        assert "the bot frees its memory" in run(capsys, "pause").out
        assert run(capsys, "resume").out == "Resumed: the bot answers again.\n"
    assert "no bot is running" in run(capsys, "pause").out
