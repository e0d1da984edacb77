"""`fireside doctor` asks Discord, over a real socket."""

from collections.abc import Sequence

import discord
import pytest
from discord.http import Route

from adapters.discord import examine
from bot.adapter import Finding
from tests.adapters.discord.process import settings_for
from tests.doubles.discord_objects import CHANNEL_ID
from tests.doubles.discord_server import MESSAGE_CONTENT_FLAG, DiscordServer, running


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """discord.py keeps addresses for the whole process: put them back."""
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(discord.Asset, "BASE", discord.Asset.BASE)


async def found(server: DiscordServer, *channels: str) -> Sequence[Finding]:
    return await examine(settings_for(server.address, answer_all_channels=channels))


async def test_all_is_well() -> None:
    async with running() as server:
        findings = await found(server, CHANNEL_ID)

    assert [finding.fix for finding in findings] == [None, None, None]
    assert findings[1].detail == "Message Content is on."


async def test_a_wrong_token_is_the_one_finding() -> None:
    async with running() as server:
        server.token = "another"
        (finding,) = await found(server, CHANNEL_ID)

    assert "does not accept this token" in finding.detail
    assert finding.fix is not None


async def test_a_discord_that_is_not_reached_is_told() -> None:
    async with running() as server:
        settings = settings_for(server.address)
    (finding,) = await examine(settings)

    assert finding.fix == "Check the network and the proxy."


@pytest.mark.parametrize(("channels", "is_wrong"), [((), False), ((CHANNEL_ID,), True)])
async def test_a_missing_intent_is_wrong_where_it_is_needed(
    channels: tuple[str, ...], is_wrong: bool
) -> None:
    async with running() as server:
        server.application_flags &= ~MESSAGE_CONTENT_FLAG
        findings = await found(server, *channels)

    assert "Message Content is off" in findings[1].detail
    assert (findings[1].fix is not None) == is_wrong


async def test_a_permission_that_a_named_channel_lacks_is_named() -> None:
    async with running() as server:
        server.denied = discord.Permissions(send_messages=True).value
        finding = (await found(server, CHANNEL_ID))[-1]

    assert finding.detail == "the bot lacks Send Messages."
    assert finding.fix is not None


async def test_an_unknown_channel_says_how_to_get_there() -> None:
    async with running() as server:
        finding = (await found(server, "5"))[-1]

    assert finding.fix == "Invite the bot there: fireside discord invite"
