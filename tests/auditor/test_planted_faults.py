"""The auditor finds nothing in the bot as it is, and names each fault that is planted in it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.adapters.discord.process import bot
from tests.auditor.audit import Forgotten, Verdict
from tests.auditor.people import DiscordPeople
from tests.auditor.planted_faults import OTHER_CHANNEL, PLANTS
from tests.auditor.talking_engine import TalkingEngine
from tests.doubles.discord_objects import CHANNEL_ID
from tests.doubles.discord_server import running
from tests.sockets import until

PENDING = frozenset({Verdict.LOST, Verdict.INCOMPLETE})
"""What is said of every question until its answer is there."""

QUIET_S = 0.5

Finished = Callable[[DiscordPeople], Awaitable[None]]
Scene = Callable[[DiscordPeople, Path, Finished], Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits follow each other fast; discord.py's addresses, which are the process's, go back."""
    monkeypatch.setattr("adapters.discord.adapter.EDIT_INTERVAL_S", 0.05)
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(discord.Asset, "BASE", discord.Asset.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)


async def settled(people: DiscordPeople) -> None:
    """Let every question be answered."""
    await until(people.is_settled)


async def quiet(people: DiscordPeople) -> None:
    """Wait until nothing more is written, for what will not come whole.

    On a slow machine that is too early, and no harm: such a verdict is there from the beginning.
    """
    written = -1
    while len(people.journal) != written:
        written = len(people.journal)
        await asyncio.sleep(QUIET_S)


async def talk(people: DiscordPeople, folder: Path, finished: Finished) -> None:
    """Several people in two channels, one of them with two questions at once."""
    async with bot(people.server.address, folder, TalkingEngine()):
        await people.ask("ann", CHANNEL_ID, 8)
        await people.ask("ann", CHANNEL_ID, 300, 0.4)
        await people.ask("ben", CHANNEL_ID, 5)
        await people.ask("ben", OTHER_CHANNEL, 5)
        await finished(people)
        await people.ask("ben", OTHER_CHANNEL, 6, recalls=True)
        await finished(people)


async def restart(people: DiscordPeople, folder: Path, finished: Finished) -> None:
    """Something is asked while the bot is away."""
    async with bot(people.server.address, folder, TalkingEngine()):
        await people.ask("ann", CHANNEL_ID, 4)
        await finished(people)
    await people.ask("ben", CHANNEL_ID, 4, is_heard=False)
    async with bot(people.server.address, folder, TalkingEngine()):
        await finished(people)


async def resume(people: DiscordPeople, folder: Path, finished: Finished) -> None:
    """The connection breaks, and events come again with the one that takes its place."""
    people.server.repeats_at_resume = 20
    async with bot(people.server.address, folder, TalkingEngine()):
        await people.ask("ann", CHANNEL_ID, 4)
        await finished(people)
        await people.server.drop()
        await until(lambda: people.server.resumed > 0)
        await people.ask("ann", CHANNEL_ID, 4)  # behind what is answered again
        await finished(people)


async def forget(people: DiscordPeople, folder: Path, finished: Finished) -> None:
    """A member has everything erased, and another one asks what is remembered."""
    async with bot(people.server.address, folder, TalkingEngine()):
        await people.ask("ann", CHANNEL_ID, 4)
        await finished(people)
        asked_before = time.monotonic()
        await people.server.command("forget me", {})
        await until(lambda: any(one.is_private for one in people.journal))
        people.forgotten.append(Forgotten("ann", time.monotonic(), asked_before))
        await people.ask("ben", CHANNEL_ID, 4, recalls=True)
        await finished(people)


SCENES: dict[str, Scene] = {one.__name__: one for one in (talk, restart, resume, forget)}


@pytest.mark.parametrize("scene", SCENES)
async def test_the_auditor_finds_no_fault_where_none_is_planted(tmp_path: Path, scene: str) -> None:
    async with running() as server:
        people = DiscordPeople(server)
        await SCENES[scene](people, tmp_path, settled)
        assert people.report().faults == []
        assert len(people.report().of(Verdict.WHOLE)) == len(people.asked)


@pytest.mark.parametrize("name", PLANTS)
async def test_the_auditor_names_each_planted_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plant = PLANTS[name]
    plant.into(monkeypatch)
    async with running() as server:
        people = DiscordPeople(server)
        is_pending = plant.verdict in PENDING
        await SCENES[plant.scene](people, tmp_path, quiet if is_pending else settled)
        assert plant.verdict in people.report().counts, people.report().faults
