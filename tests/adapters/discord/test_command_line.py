"""`fireside discord`."""

from urllib.parse import parse_qs, urlsplit

import discord
from typer.testing import CliRunner

from adapters.discord import command_line
from adapters.discord.command_line import invite_url
from tests.adapters.discord.doubles import BOT_ID, settings_with


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
