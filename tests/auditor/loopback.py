"""A loopback platform with its people, ready for a bot: the same for Discord and for Slack."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path

from typing_extensions import override

from bot.clock import utc_now
from tests.adapters.discord import process as discord_process
from tests.adapters.slack import process as slack_process
from tests.auditor.people import DiscordPeople, People, SlackPeople
from tests.auditor.talking_engine import TalkingEngine
from tests.doubles import discord_server
from tests.slack_server import server as slack_server


class Loopback(ABC):
    """A loopback platform with its people, four authors in four channels, and its faults."""

    def __init__(
        self, address: str, people: People, authors: Sequence[str], places: Sequence[str]
    ) -> None:
        self.address = address
        self.people = people
        self.authors = authors
        self.places = places

    @property
    @abstractmethod
    def has_bot(self) -> bool:
        """Whether the bot is connected."""

    @abstractmethod
    async def drop(self) -> None:
        """Break the bot's connection, for good: what is said meanwhile is not told later."""

    @abstractmethod
    async def cut(self, chance: random.Random) -> None:
        """Break the bot's connection; a platform that has sessions may let it resume."""

    async def forget(self, author: str) -> bool:
        """Let somebody ask the bot to forget them; False where the journal would not show it."""
        del author
        return False

    @abstractmethod
    def bot(
        self, folder: Path, now: Callable[[], datetime] = utc_now
    ) -> AbstractAsyncContextManager[object]:
        """The bot in this process, for as long as the block lasts."""

    @abstractmethod
    def fail(self, chance: random.Random) -> None:
        """Let a call that comes next fail: lost on its way back, refused, or asked for patience."""

    @abstractmethod
    def fail_any(self, chance: random.Random) -> str:
        """Let a call of whatever kind that comes next fail; gives which."""

    @abstractmethod
    def clear_faults(self) -> None:
        """No call fails any more."""

    @abstractmethod
    def limit_writes(self, chance: random.Random) -> None:
        """Let only so much be written in so long from now on."""

    @property
    def unacknowledged(self) -> Sequence[slack_server.Envelope]:
        """What the platform has sent, and delivers again until the bot takes it."""
        return ()

    async def deliver_again(self, envelope: slack_server.Envelope, attempt: int) -> None:
        """Send something again."""
        raise NotImplementedError

    @abstractmethod
    def after_death(self, chance: random.Random) -> None:
        """What the platform itself does about a bot that went away."""


class LoopbackDiscord(Loopback):
    """The guild, with four channels."""

    def __init__(self, server: discord_server.DiscordServer, seed: int) -> None:
        server.channels = [str(int(discord_server.CHANNEL_ID) + 10 * n) for n in range(4)]
        people = DiscordPeople(server, seed)
        super().__init__(server.address, people, ("ann", "ben", "cleo", "dan"), server.channels)
        self._server = server

    @property
    @override
    def has_bot(self) -> bool:
        return self._server.has_bot

    @override
    async def drop(self) -> None:
        self._server.accepts_resume = False
        await self._server.drop()

    @override
    async def cut(self, chance: random.Random) -> None:
        self._server.accepts_resume = chance.random() < 0.7
        self._server.repeats_at_resume = chance.choice((0, 5, 20))
        await self._server.drop()

    @override
    async def forget(self, author: str) -> bool:
        await self._server.command("forget me", {}, author)
        return True

    @override
    def bot(
        self, folder: Path, now: Callable[[], datetime] = utc_now
    ) -> AbstractAsyncContextManager[object]:
        return discord_process.bot(self.address, folder, TalkingEngine(), now=now)

    @override
    def fail_any(self, chance: random.Random) -> str:
        method, path = chance.choice(
            (
                ("GET", r"^/channels/\d+/messages"),
                ("POST", r"^/channels/\d+/typing"),
                ("GET", r"^/(users|oauth2|gateway|applications)"),
                ("POST", r"^/channels/\d+/messages"),
                ("PATCH", r"^/channels/\d+/messages"),
                ("DELETE", r"^/channels/\d+/messages"),
            )
        )
        status = chance.choice((0, 500, 502, 429))
        body = {"message": "slow", "retry_after": 2.0, "global": False} if status == 429 else None
        is_after = status != 429 and chance.random() < 0.5
        fault = discord_server.Fault(method, path, status, body, is_after)
        self._server.faults.append(fault)
        return f"{method} {path} {status} {is_after}"

    @override
    def clear_faults(self) -> None:
        self._server.faults.clear()

    @override
    def limit_writes(self, chance: random.Random) -> None:
        self._server.writes_per_window = chance.choice((3, 5, 10))

    @override
    def after_death(self, chance: random.Random) -> None:
        """Nothing: what was said is in its channel's history."""

    @override
    def fail(self, chance: random.Random) -> None:
        """A 503, or a broken connection after the effect."""
        method = chance.choice(("POST", "PATCH"))
        is_lost = chance.random() < 0.5
        self._server.faults.append(
            discord_server.Fault(
                method, r"^/channels/\d+/messages", 0 if is_lost else 503, is_after=is_lost
            )
        )


class LoopbackSlack(Loopback):
    """The workspace, with four channels and a thread in each."""

    def __init__(self, server: slack_server.SlackServer, seed: int) -> None:
        workspace = server.workspace
        channels = [slack_server.CHANNEL, "C0ROOM1", "C0ROOM2", "C0ROOM3"]
        for channel in channels[1:]:
            workspace.add_channel(channel)
        topics = [workspace.add(one, {"user": "U0BEN", "text": "A topic"}) for one in channels]
        threads = [f"{one}/{topic['ts']}" for one, topic in zip(channels, topics, strict=True)]
        people = SlackPeople(server, seed)
        super().__init__(
            server.address, people, ("U0ANN", "U0BEN", "U0ADMIN", "U0OWNER"), channels + threads
        )
        self._server = server

    @property
    @override
    def has_bot(self) -> bool:
        return self._server.has_bot

    @override
    async def drop(self) -> None:
        await self._server.drop()

    @override
    async def cut(self, chance: random.Random) -> None:
        await (self._server.drop() if chance.random() < 0.7 else self._server.refresh())

    @override
    def bot(
        self, folder: Path, now: Callable[[], datetime] = utc_now
    ) -> AbstractAsyncContextManager[object]:
        # Read here: a simulation gives the process another clock.
        return slack_process.bot(self.address, folder, TalkingEngine(), time.monotonic, now)

    @override
    def fail(self, chance: random.Random) -> None:
        """A 503, a 429, or a broken connection after the effect."""
        methods = ("chat.postMessage", "chat.update", "chat.startStream", "chat.appendStream")
        method = chance.choice((*methods, "chat.stopStream"))
        kind = chance.choice(("lost", "503", "429"))
        self._server.faults.append(
            {
                "lost": slack_server.Fault(method, status=0, is_after=True),
                "503": slack_server.Fault(method, status=503),
                "429": slack_server.Fault(method, "ratelimited", 429, retry_after=1),
            }[kind]
        )

    @override
    def fail_any(self, chance: random.Random) -> str:
        method = chance.choice([*slack_server.SPECS])
        status = chance.choice((0, 500, 503, 429))
        after_s = 2 if status == 429 else None
        is_after = status != 429 and chance.random() < 0.5
        error = "ratelimited" if status == 429 else "internal_error"
        self._server.faults.append(slack_server.Fault(method, error, status, after_s, is_after))
        return f"{method} {status} {is_after}"

    @override
    def clear_faults(self) -> None:
        self._server.faults.clear()

    @override
    def limit_writes(self, chance: random.Random) -> None:
        methods = ("chat.postMessage", "chat.update", "chat.startStream", "chat.appendStream")
        self._server.limits[chance.choice(methods)] = (chance.choice((1, 3, 10)), 5.0)

    @property
    @override
    def unacknowledged(self) -> Sequence[slack_server.Envelope]:
        return [one for one in self._server.envelopes if not one.answered.is_set()]

    @override
    async def deliver_again(self, envelope: slack_server.Envelope, attempt: int) -> None:
        if self.has_bot:
            await self._server.redeliver(envelope, attempt)

    @override
    def after_death(self, chance: random.Random) -> None:
        """Half of what was not acknowledged comes again; the other half Slack gives up on."""
        for envelope in self._server.envelopes[-20:]:
            if not envelope.answered.is_set() and chance.random() < 0.5:
                self._server.waiting.append(envelope)


@asynccontextmanager
async def loopback(platform: str, seed: int = 0) -> AsyncGenerator[Loopback]:
    """A platform that runs for as long as the block lasts."""
    if platform == "discord":
        async with discord_server.running() as discord:
            yield LoopbackDiscord(discord, seed)
    else:
        async with slack_server.running() as slack:
            yield LoopbackSlack(slack, seed)
