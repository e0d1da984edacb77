"""Mentions that came while the process was down, found again when it is back.

Ids on Discord grow with time, so one mark is enough: the latest id that was seen. Only channels
whose last message is later are read, the latest first, within a bound of age and number; direct
conversations, of which Discord tells nothing at the start, are remembered and read as well. What
was seen before is known to the store and is not answered twice.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import discord

from adapters.discord.errors import discord_errors
from adapters.discord.settings import Settings
from bot.adapter import AdapterState
from bot.errors import PlatformError, PlatformUnavailable, StoreUnavailable, without_text
from bot.platforms.seen_mark import SeenMark

DIRECT_KEY = "direct"
MAX_DIRECT = 100
"""Direct conversations that are looked at again; Discord lists none of them at the start."""
KEEP_EVERY_S = 2.0
OVERLAP = timedelta(seconds=60)
"""Shards are not in step: this much before the mark is read again."""

MAX_MESSAGES = 1000
"""Read in one channel."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Gap:
    """What may be missing since an id, and which channels have been read again.

    It `is_due` once Discord has told which channels there are. Channels that were read `ahead` of
    what was said there are read once more in their turn.
    """

    since: int
    is_due: bool = False
    ahead: set[int] = field(default_factory=set[int])
    done: set[int] = field(default_factory=set[int])
    locks: defaultdict[int, asyncio.Lock] = field(
        default_factory=lambda: defaultdict[int, asyncio.Lock](asyncio.Lock)
    )


class Missed:
    """Keeps the mark, and reads what came after it."""

    def __init__(
        self,
        client: discord.Client,
        state: AdapterState,
        settings: Settings,
        arrived: Callable[[discord.Message], Awaitable[None]],
    ) -> None:
        self._client = client
        self._state = state
        self._settings = settings
        self._arrived = arrived
        self._mark = SeenMark(state, int, str)
        self._gap: _Gap | None = None
        self._direct: dict[int, None] = {}
        self._kept_direct = ""
        self._is_catching_up = asyncio.Lock()

    def saw(self, message_id: int, direct_channel_id: int | None = None) -> None:
        """A message arrived and was dealt with; for a direct one the channel it came in."""
        self._mark.saw(message_id)
        if direct_channel_id is not None:
            self._direct.pop(direct_channel_id, None)
            self._direct[direct_channel_id] = None
            if len(self._direct) > MAX_DIRECT:
                del self._direct[next(iter(self._direct))]

    async def load(self) -> None:
        """Read the mark of the process before; the first process has missed nothing."""
        now = discord.utils.time_snowflake(discord.utils.utcnow(), high=True)
        has_missed = await self._mark.load(now)
        self._kept_direct = await self._state.get(DIRECT_KEY) or ""
        self._direct = {int(one): None for one in self._kept_direct.split()}
        if has_missed:
            self.interrupted()
        else:
            self._mark.close()

    def interrupted(self) -> None:
        """A connection begins that knows nothing of the one before: events may be missing."""
        self._mark.open()
        since = self._since()
        self._gap = None if since is None else _Gap(since)

    def dropped(self, message_id: int) -> None:
        """A message could not be stored: it is read again when the store is back."""
        self._mark.open(message_id - 1)
        since, known = self._since(), self._gap
        if since is not None:
            is_due = known is None or known.is_due
            self._gap = _Gap(since if known is None else min(since, known.since), is_due)

    async def keep(self) -> None:
        """Write the mark now and then until cancelled; a kill loses only so much of it.

        What could not be read, or stored, is tried again.
        """
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            if self._gap is not None and self._gap.is_due:
                await self.catch_up()
            await self.save()

    async def save(self) -> None:
        """Write what has changed."""
        direct = " ".join(map(str, self._direct))
        try:
            if direct != self._kept_direct:
                await self._state.put(DIRECT_KEY, direct)
                self._kept_direct = direct
            await self._mark.save()
        except StoreUnavailable as error:
            log.error("%s", error.text)

    async def catch_up(self) -> None:
        """Deliver what came after the mark, as far as Discord and the store let it be done now."""
        async with self._is_catching_up:
            gap = self._gap
            if gap is None:
                self._mark.close()
                return
            gap.is_due = True
            try:
                for channel in [*self._moved(gap.since), *await self._direct_channels()]:
                    async with gap.locks[channel.id]:
                        await self._read(channel, gap.since)
                        gap.done.add(channel.id)
            except (PlatformUnavailable, StoreUnavailable) as error:
                log.warning("missed messages are looked for again soon: %s", error)
                return
            if self._gap is gap:
                self._gap = None
                self._mark.close()
            await self.save()

    async def before(self, message: discord.Message) -> None:
        """Deliver what was missed in a channel before what is said there now.

        Raises `StoreUnavailable`.
        """
        gap, channel = self._gap, message.channel
        if gap is None:
            return
        async with gap.locks[channel.id]:
            if channel.id in gap.done or channel.id in gap.ahead:
                return
            try:
                await self._read(channel, gap.since, until=message.id)
            except PlatformError as error:
                log.info("what was missed comes after what is said now: %s", error)
            else:
                gap.ahead.add(channel.id)

    def _since(self) -> int | None:
        if self._settings.missed_max_age_s == 0:
            return None
        seen_at = discord.utils.snowflake_time(self._mark.latest) - OVERLAP
        oldest = discord.utils.utcnow() - timedelta(seconds=self._settings.missed_max_age_s)
        return discord.utils.time_snowflake(max(seen_at, oldest))

    def _moved(
        self, since: int
    ) -> list[discord.TextChannel | discord.VoiceChannel | discord.Thread]:
        """The channels and threads with a later message, the latest first."""
        moved = [
            channel
            for guild in self._client.guilds
            for channel in (*guild.text_channels, *guild.voice_channels, *guild.threads)
            if (channel.last_message_id or 0) > since
        ]
        moved.sort(key=lambda channel: channel.last_message_id or 0, reverse=True)
        return moved[: self._settings.missed_max_channels]

    async def _direct_channels(self) -> list[discord.DMChannel]:
        """The direct conversations, the latest first; Discord does not tell which ones moved."""
        found: list[discord.DMChannel] = []
        for channel_id in list(reversed(self._direct))[: self._settings.missed_max_channels]:
            try:
                with discord_errors("looking at a direct conversation"):
                    channel = await self._client.fetch_channel(channel_id)
            except PlatformUnavailable:
                raise
            except PlatformError as error:
                log.info("%s", error)
                continue
            if isinstance(channel, discord.DMChannel):
                found.append(channel)
        return found

    async def _read(
        self, channel: discord.abc.Messageable, since: int, until: int | None = None
    ) -> None:
        """Raises `PlatformUnavailable` and `StoreUnavailable`: then it is tried again."""
        try:
            with discord_errors("looking for missed mentions"):
                latest_first = [
                    one
                    async for one in channel.history(
                        limit=MAX_MESSAGES,
                        after=discord.Object(since),
                        before=None if until is None else discord.Object(until),
                        oldest_first=False,
                    )
                ]
        except PlatformUnavailable:
            raise
        except PlatformError as error:
            log.info("%s", error)
            return
        for message in reversed(latest_first):
            try:
                await self._arrived(message)
            except StoreUnavailable:
                raise
            except Exception as error:  # one message keeps no other one from being read
                log.error("message %d was skipped: %s", message.id, without_text(error))
            self.saw(message.id)
