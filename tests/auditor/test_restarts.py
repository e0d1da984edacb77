"""What is asked while the bot is away, or just as it comes back, is answered in its order."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from adapters.discord.arrivals import Arrivals as DiscordArrivals
from adapters.slack.arrivals import Arrivals as SlackArrivals
from bot.concurrency import beside
from tests.auditor.loopback import Loopback, loopback
from tests.sockets import until


@pytest.fixture(autouse=True)
def _exact_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before the mark is read again: a mark that is too late is not made up for."""
    for platform in ("discord", "slack"):
        monkeypatch.setattr(f"adapters.{platform}.missed.OVERLAP", timedelta(0))
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(discord.Asset, "BASE", discord.Asset.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)


@pytest.fixture(params=["discord", "slack"])
async def platform(request: pytest.FixtureRequest) -> AsyncGenerator[Loopback]:
    """Each platform in turn."""
    async with loopback(request.param) as found:
        yield found


async def first_life(platform: Loopback, folder: Path) -> None:
    """The bot runs and answers something, and is gone."""
    async with platform.bot(folder):
        await platform.people.ask(platform.authors[0], platform.places[0], 3)
        await until(platform.people.is_settled)


async def second_life(platform: Loopback, folder: Path, author: str, place: str) -> None:
    """It comes back, and is asked something in the moment in which it is connected."""

    async def ask_at_once() -> None:
        await until(lambda: platform.has_bot)
        await platform.people.ask(author, place, 3)
        await asyncio.Event().wait()

    async with beside(ask_at_once(), is_joined=False), platform.bot(folder):
        await until(platform.people.is_settled)


async def test_a_question_at_the_connect_hides_nothing_that_was_asked_before(
    platform: Loopback, tmp_path: Path
) -> None:
    await first_life(platform, tmp_path)
    ann, ben, cleo, _dan = platform.authors
    for author, place in zip((ann, ben, cleo), platform.places[1:4], strict=True):
        await platform.people.ask(author, place, 3, is_heard=False)
    await second_life(platform, tmp_path, ben, platform.places[0])

    assert len(platform.people.asked) == 5
    assert platform.people.report().faults == []


async def test_what_was_missed_is_answered_before_what_the_same_author_asks_at_the_connect(
    platform: Loopback, tmp_path: Path
) -> None:
    await first_life(platform, tmp_path)
    author, place = platform.authors[1], platform.places[-1]
    for _ in range(3):
        await platform.people.ask(author, place, 3, is_heard=False)
    await second_life(platform, tmp_path, author, place)

    assert platform.people.report().faults == []


async def test_a_broken_connection_hides_nothing_that_was_asked_meanwhile(
    platform: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.client.PING_INTERVAL_S", 0.2)
    ann, ben, cleo, _dan = platform.authors
    async with platform.bot(tmp_path):
        await platform.people.ask(ann, platform.places[0], 3)
        await until(platform.people.is_settled)
        await platform.drop()
        for author, place in ((ben, platform.places[1]), (cleo, platform.places[2])):
            await platform.people.ask(author, place, 3, is_heard=False)
        await until(lambda: platform.has_bot)
        await platform.people.ask(ann, platform.places[0], 3)
        await until(platform.people.is_settled)

    assert platform.people.report().faults == []


async def test_a_question_that_takes_longer_to_read_is_not_overtaken(
    platform: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[object] = []
    for arrivals in (DiscordArrivals, SlackArrivals):
        read = arrivals.message

        async def read_slowly(self: Any, event: Any, *own: Any, read: Any = read) -> None:
            if not later:
                later.append(event)
                await asyncio.sleep(0.3)
            await read(self, event, *own)

        monkeypatch.setattr(arrivals, "message", read_slowly)
    async with platform.bot(tmp_path):
        for _ in range(3):
            await platform.people.ask(platform.authors[0], platform.places[-1], 3)
        await until(platform.people.is_settled)

    assert later
    assert platform.people.report().faults == []


async def test_what_began_a_thread_before_the_bot_was_called_there_is_no_question_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.missed.OVERLAP", timedelta(minutes=1))
    async with loopback("slack") as slack:
        author, thread = slack.authors[0], slack.places[-1]
        await first_life(slack, tmp_path)
        async with slack.bot(tmp_path):
            await slack.people.ask(author, thread, 3)
            await until(slack.people.is_settled)
        await slack.people.ask(author, thread, 3, is_heard=False)
        async with slack.bot(tmp_path):
            await until(slack.people.is_settled)
            await slack.people.ask(author, thread, 3)
            await until(slack.people.is_settled)

        assert slack.people.report().faults == []
