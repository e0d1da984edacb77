"""`fireside slack`, and Slack's part of `fireside init`."""

import json
from pathlib import Path

import pytest

from bot.commands.build import described_registry
from tests.adapters.slack.doubles import APP_TOKEN, BOT_TOKEN
from tests.cli.running import run
from tests.isolation import answers, workplace

__all__ = ["answers", "workplace"]


def test_both_tokens_are_asked_for_until_they_look_like_some(
    workplace: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["n", "y", "no token", BOT_TOKEN, APP_TOKEN, "0"]
    said = run(capsys, "init")

    assert said.code == 0, said.err
    assert "fireside slack manifest" in said.out
    assert "does not look like one" in said.out
    assert BOT_TOKEN not in said.out
    lines = (workplace / ".env").read_text().splitlines()
    assert lines == [
        f"FIRESIDE_SLACK__BOT_TOKEN={BOT_TOKEN}",
        f"FIRESIDE_SLACK__APP_TOKEN={APP_TOKEN}",
    ]
    assert run(capsys, "config").code == 0


@pytest.mark.parametrize("typed", [["n", "y", "", "0"], ["n", "y", BOT_TOKEN, "", "0"]])
def test_whoever_leaves_a_token_empty_gets_nothing_written(
    workplace: Path, answers: list[str], typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += typed
    assert run(capsys, "init").code == 0
    assert not (workplace / ".env").exists()


def test_the_manifest_is_printed_as_json_without_any_token(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "slack", "manifest")
    assert said.code == 0, said.err
    printed = json.loads(said.out)
    names = {one["command"] for one in printed["features"]["slash_commands"]}
    assert names == {f"/{command.name.split()[0]}" for command in described_registry()}
    assert workplace.exists()


def test_http_mode_without_a_public_address_is_refused_with_its_key(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_SLACK__MODE", "http")
    said = run(capsys, "slack", "manifest")
    assert said.code == 1
    assert "FIRESIDE_SLACK__PUBLIC_URL" in said.err
    assert workplace.exists()


def test_a_token_of_the_wrong_kind_is_refused_without_being_shown(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_SLACK__BOT_TOKEN", APP_TOKEN)
    said = run(capsys, "run")
    assert said.code == 1
    assert "begins with xoxb-" in said.err
    assert APP_TOKEN not in said.err
    assert workplace.exists()
