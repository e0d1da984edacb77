"""`fireside pause` and `fireside resume`."""

from pathlib import Path

import pytest

from tests.cli.running import run


def test_a_pause_is_marked_until_somebody_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(tmp_path / "data"))
    said = [run(capsys, command).out for command in ("resume", "pause", "pause", "resume")]
    beginnings = ("It was not paused", "Paused:", "It is paused already", "A running bot answers")
    for text, beginning in zip(said, beginnings, strict=True):
        assert text.startswith(beginning)
