"""Mentions that came while the process was down, found again when it is back.

Ids on Discord grow with time, so one mark is enough: the latest id that was seen. Only channels
whose last message is later are read, the latest first, within a bound of age and number; direct
conversations, of which Discord tells nothing at the start, are remembered and read as well. What
was seen before is known to the store and is not answered twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import discord

from adapters.discord.errors import discord_errors
from adapters.discord.settings import Settings
from bot.adapter import AdapterState
from bot.errors import PlatformError, StoreUnavailable

MARK_KEY = "seen"
DIRECT_KEY = "direct"
MAX_DIRECT = 100
"""Direct conversations that are looked at again; Discord lists none of them at the start."""
KEEP_EVERY_S = 15.0
OVERLAP = timedelta(seconds=60)
"""Shards are not in step: this much before the mark is read again."""

MAX_MESSAGES = 100
"""Read in one channel."""

log = logging.getLogger(__name__)


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
        self._kept = 0
        self._latest = 0
        self._direct: dict[int, None] = {}
        self._is_catching_up = asyncio.Lock()

    def saw(self, message_id: int, direct_channel_id: int | None = None) -> None:
        """A message arrived and was dealt with; for a direct one the channel it came in."""
        self._latest = max(self._latest, message_id)
        if direct_channel_id is not None:
            self._direct.pop(direct_channel_id, None)
            self._direct[direct_channel_id] = None
            if len(self._direct) > MAX_DIRECT:
                del self._direct[next(iter(self._direct))]

    async def load(self) -> None:
        """Read the mark of the process before."""
        kept = await self._state.get(MARK_KEY)
        self._kept = self._latest = int(kept) if kept else 0
        direct = await self._state.get(DIRECT_KEY)
        self._direct = {int(one): None for one in direct.split()} if direct else {}

    async def keep(self) -> None:
        """Write the mark now and then until cancelled; a kill loses only so much of it."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Write the mark if it has moved."""
        if self._latest == self._kept:
            return
        try:
            await self._state.put(DIRECT_KEY, " ".join(map(str, self._direct)))
            await self._state.put(MARK_KEY, str(self._latest))
            self._kept = self._latest
        except StoreUnavailable as error:
            log.error("%s", error.text)

    async def catch_up(self) -> None:
        """Deliver what came after the mark; the first start has none and reads nothing."""
        async with self._is_catching_up:
            since = self._since()
            if since is None:
                self.saw(discord.utils.time_snowflake(discord.utils.utcnow()))
                return
            for channel in [*self._moved(since), *await self._direct_channels()]:
                await self._read(channel, since)
            await self.save()

    def _since(self) -> int | None:
        if self._latest == 0 or self._settings.missed_max_age_s == 0:
            return None
        seen_at = discord.utils.snowflake_time(self._latest) - OVERLAP
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
            except PlatformError as error:
                log.info("%s", error)
                continue
            if isinstance(channel, discord.DMChannel):
                found.append(channel)
        return found

    async def _read(self, channel: discord.abc.Messageable, since: int) -> None:
        after = discord.Object(since)
        try:
            with discord_errors("looking for missed mentions"):
                latest_first = [
                    one
                    async for one in channel.history(
                        limit=MAX_MESSAGES, after=after, oldest_first=False
                    )
                ]
        except PlatformError as error:
            log.info("%s", error)
            return
        for message in reversed(latest_first):
            await self._arrived(message)
            self.saw(message.id)
