"""`fireside discord`."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import discord
import pytest
from typer.testing import CliRunner

from adapters.discord import command_line
from adapters.discord.cli import invite_url
from bot.__main__ import main
from tests.adapters.discord.doubles import BOT_ID, TOKEN, settings_with


def test_invite_prints_the_link_with_the_scopes_and_permissions_it_needs() -> None:
    result = CliRunner().invoke(command_line(settings_with), ["invite"])

    assert result.exit_code == 0
    address = urlsplit(result.stdout.strip())
    query = parse_qs(address.query)
    assert address.geturl().startswith("https://discord.com/oauth2/authorize?")
    assert query["client_id"] == [str(BOT_ID)]
    assert query["scope"] == ["bot applications.commands"]


def test_the_link_asks_for_exactly_four_permissions() -> None:
    (bits,) = parse_qs(urlsplit(invite_url("1")).query)["permissions"]

    asked = {name for name, is_set in discord.Permissions(int(bits)) if is_set}
    assert asked == {
        "read_messages",
        "send_messages",
        "read_message_history",
        "send_messages_in_threads",
    }


def test_without_arguments_it_says_what_there_is() -> None:
    result = CliRunner().invoke(command_line(settings_with), [])

    assert "invite" in result.output


def test_it_is_a_sub_command_of_fireside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRESIDE_DISCORD__TOKEN", TOKEN)

    assert main(["discord", "invite"]) == 0
    assert f"client_id={BOT_ID}" in capsys.readouterr().out


def test_without_a_token_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIRESIDE_DISCORD__TOKEN", raising=False)

    assert main(["discord", "invite"]) != 0
    assert "FIRESIDE_DISCORD__TOKEN: is not set" in capsys.readouterr().err
