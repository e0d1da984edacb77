"""The connection to Discord: which events are heard, and who hears them.

What an event means is decided in `arrivals.py` and `interactions.py`.
"""

import logging
import re
import sys
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route
from typing_extensions import override

from adapters.discord.arrivals import Arrivals
from adapters.discord.buttons import ActionButton
from adapters.discord.commands import digest, payload
from adapters.discord.errors import discord_errors
from adapters.discord.interactions import Interactions
from adapters.discord.missed import Missed
from adapters.discord.reading import Reader
from adapters.discord.settings import Settings
from bot.adapter import Services
from bot.errors import PlatformError, StoreUnavailable, without_text
from bot.messages import Action
from bot.platforms.arrival_order import ArrivalOrder
from bot.platforms.online_gate import OnlineGate
from bot.platforms.write_budget import Pace

COMMANDS_KEY = "commands"
MAX_RATE_LIMIT_S = 60.0
"""discord.py waits out shorter rate limits itself; longer ones are ours to wait out."""

_CHANNEL_PATH = re.compile(r"/channels/(\d+)/messages")

log = logging.getLogger(__name__)


class FiresideClient(discord.AutoShardedClient):
    """A client without caches of members and messages. `is_online` is set after the login."""

    def __init__(self, settings: Settings, services: Services, pace: Pace) -> None:
        self._wanted = wanted_intents(settings)
        super().__init__(
            intents=self._wanted,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=MAX_RATE_LIMIT_S,
            proxy=settings.proxy_url,
            http_trace=_trace(pace),
        )
        self._settings = settings
        self._services = services
        self._session: aiohttp.ClientSession | None = None
        self.is_online = OnlineGate("Discord")
        self._order = ArrivalOrder()
        self._known_shards: set[int] = set()
        reader = Reader(settings, self._file_session)
        self.arrivals = Arrivals(self, services, settings, reader)
        self.interactions = Interactions(self, services, settings, reader)
        self.missed = Missed(self, services.state, settings, self.arrivals.message)

    @override
    async def setup_hook(self) -> None:
        """After the login and before the gateway: what depends on who the bot is."""
        self.add_dynamic_items(ActionButton)
        with discord_errors("asking for the application"):
            application = await self.application_info()
        self._choose_intents(application.flags)
        await self._sync_commands(application.id)
        await self.missed.load()
        self.is_online.set()

    async def end_session(self) -> None:
        """End the connections of a login that failed: the next one makes its own."""
        await self.http.close()
        self.http.connector = discord.utils.MISSING

    @override
    async def launch_shard(
        self, gateway: yarl.URL, shard_id: int, *, initial: bool = False
    ) -> None:
        ours = self._settings.gateway_url
        await super().launch_shard(yarl.URL(ours) if ours else gateway, shard_id, initial=initial)

    @override
    async def close(self) -> None:
        self.is_online.clear()
        if self._session is not None:
            await self._session.close()
        await super().close()

    async def on_shard_connect(self, shard_id: int) -> None:
        """A session begins: the shard's first one, or one that does not resume the one before."""
        if shard_id in self._known_shards:
            self.missed.interrupted()
        self._known_shards.add(shard_id)

    async def on_ready(self) -> None:
        """Look for what was missed; also after a session that could not be resumed."""
        log.info("connected to Discord as %s, in %d guilds", self.user, len(self.guilds))
        await self.missed.catch_up()

    async def on_message(self, message: discord.Message) -> None:
        """A message anywhere, behind what was missed in its channel."""
        async with self._order.turn((message.channel.id, message.author.id)):
            await self._hear(message)

    async def _hear(self, message: discord.Message) -> None:
        try:
            await self.missed.before(message)
            await self.arrivals.message(message)
        except StoreUnavailable as error:
            log.error("a message waits for the database: %s", error.text)
            self.missed.dropped(message.id)
            return
        self.missed.saw(message.id, None if message.guild else message.channel.id)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        """An edit, or an embed that Discord added."""
        await self.arrivals.edited(event)

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        """A deletion."""
        await self.arrivals.deleted([event.message_id], event.channel_id, event.guild_id)

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        """A moderator's deletion of many."""
        await self.arrivals.deleted(event.message_ids, event.channel_id, event.guild_id)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot left; an outage of a guild is another event."""
        await self.arrivals.removed(guild)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """A command, a parameter being typed, or a button."""
        await self.interactions.arrived(interaction)

    async def pressed(
        self, interaction: discord.Interaction, action: Action, question_id: int
    ) -> None:
        """A button under an answer."""
        await self.interactions.pressed(interaction, action, question_id)

    @override
    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """The top of every event: say where it failed, and nothing of what somebody wrote."""
        error = sys.exc_info()[1]
        assert error is not None, "called while an error is handled"
        log.error("%s failed: %s", event_method, without_text(error))

    def _file_session(self) -> aiohttp.ClientSession:
        """One session for all files, beside discord.py's own, which carries the token."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    def _choose_intents(self, flags: discord.ApplicationFlags) -> None:
        """Settle the Message Content intent before the gateway is told.

        discord.py keeps the very object that it was given, and reads it when it identifies.
        """
        has_it = flags.gateway_message_content or flags.gateway_message_content_limited
        if self._settings.message_content is None:
            self._wanted.message_content = has_it
        if self.intents.message_content:
            log.info("intents: guilds, messages, message content")
        else:
            log.info(
                "intents: guilds and messages, without message content: mentions, direct messages "
                "and commands work; other messages are hidden by Discord"
            )

    async def _sync_commands(self, application_id: int) -> None:
        """Send the commands to Discord where they are not what was sent last."""
        commands = payload(self._services.commands, self._settings.manager_permission)
        current = digest(commands, application_id)
        try:
            if await self._services.state.get(COMMANDS_KEY) == current:
                return
            with discord_errors("sending the commands"):
                await self.http.bulk_upsert_global_commands(application_id, commands)
            await self._services.state.put(COMMANDS_KEY, current)
        except (PlatformError, StoreUnavailable) as error:
            log.error("%s; the commands stay as they were", error)


def wanted_intents(settings: Settings) -> discord.Intents:
    """What the bot wants to hear of."""
    intents = discord.Intents.none()
    intents.guilds = True
    intents.guild_messages = True
    intents.dm_messages = True
    intents.message_content = settings.message_content is not False
    return intents


def use_addresses(settings: Settings) -> None:
    """Point discord.py at the configured addresses: it keeps them for the whole process."""
    Route.BASE = settings.api_url
    # Annotated as that very text, though it is meant to be set.
    discord.Asset.BASE = settings.cdn_url  # pyright: ignore[reportAttributeAccessIssue]
    if settings.gateway_url is not None:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(settings.gateway_url)


def _trace(pace: Pace) -> aiohttp.TraceConfig:
    """Lets the pace learn from the headers of every answer about a channel's messages."""

    async def on_request_end(
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        request: aiohttp.TraceRequestEndParams,
    ) -> None:
        learn(pace, request)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_request_end)
    return trace


def learn(pace: Pace, request: aiohttp.TraceRequestEndParams) -> None:
    """Hand a channel's rate-limit headers to the pace."""
    path = _CHANNEL_PATH.search(request.url.path)
    headers = request.response.headers
    if path is None or request.method not in {"POST", "PATCH"}:
        return
    try:
        limit = int(headers["X-RateLimit-Limit"])
        remaining = int(headers["X-RateLimit-Remaining"])
        reset_after_s = float(headers["X-RateLimit-Reset-After"])
    except (KeyError, ValueError):
        return
    pace.learn(int(path[1]), limit, remaining, reset_after_s)
