"""The connection to Slack: which events are heard, and who hears them.

Bolt verifies, sorts and acknowledges; it acknowledges only after a listener has returned
(`process_before_response`), so that what could not be stored is delivered again.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from itertools import chain, repeat
from typing import Any, cast

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.arrivals import Arrivals
from adapters.slack.commands import MENU, PICK, slash_names
from adapters.slack.credentials import APP_TOKEN_KEY, BOT_TOKEN_KEY
from adapters.slack.errors import connection_errors
from adapters.slack.history import ChannelHistory
from adapters.slack.home import Home
from adapters.slack.http_server import HttpServer
from adapters.slack.interactions import Acknowledge, Interactions
from adapters.slack.missed import Missed
from adapters.slack.panel import Panel
from adapters.slack.parse import Json, Own, Post
from adapters.slack.people import People
from adapters.slack.render import ACTION, FEEDBACK
from adapters.slack.settings import Settings
from adapters.slack.text_commands import TextCommands
from adapters.slack.web_api import WebApi, sdk_logger
from bot.adapter import Services
from bot.errors import PlatformError, PlatformUnavailable, StoreUnavailable, without_text
from bot.platforms.arrival_order import ArrivalOrder
from bot.platforms.online_gate import OnlineGate

PING_INTERVAL_S = 5.0
"""A connection that drops without a word is noticed within four of these."""

START_PAUSES_S = (1.0, 5.0, 15.0, 60.0)
"""Between tries to reach Slack at the start; later the library reconnects by itself."""

log = logging.getLogger(__name__)

Listener = Callable[[Json, Own], Coroutine[object, object, None]]


class SlackClient:
    """Listens to Slack.

    `is_online` is set once it is known who the bot is, `is_serving` once events are received.
    """

    def __init__(
        self,
        settings: Settings,
        services: Services,
        api: WebApi,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._services = services
        self._api = api
        self._own: Own | None = None
        self.is_online = OnlineGate("Slack")
        self.is_serving = asyncio.Event()
        self._order = ArrivalOrder()
        people = People(api, settings, clock)
        self.history = ChannelHistory(api, people, lambda: self.own)
        commands = TextCommands(api, people, services, settings)
        self.home = Home(api, people, services, settings)
        self.panel = Panel(api, settings)
        self.arrivals = Arrivals(api, people, services, settings, commands, self._began_panel)
        self.interactions = Interactions(api, people, services, settings, now)
        self.missed = Missed(api, services.state, settings, now, self.arrivals.said)
        self.http_port = 0
        self._handlers: list[AsyncSocketModeHandler] = []
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def own(self) -> Own:
        """Who the bot is."""
        assert self._own is not None, "known since the login"
        return self._own

    async def log_in(self) -> None:
        """Ask Slack who the bot is. Raises `ConfigurationError` for a token it does not accept."""
        with connection_errors(BOT_TOKEN_KEY):
            known = await self._api.call("auth.test")
        names = ("user_id", "bot_id", "user", "team_id", "url")
        self._own = Own(*(str(known.get(name) or "") for name in names))
        log.info("connected to Slack as %s in workspace %s", known["user"], known["team_id"])
        self.is_online.set()

    async def serve(self) -> None:
        """Receive events until cancelled."""
        await self.missed.load()
        server = HttpServer(self._settings) if self._settings.mode == "http" else None
        try:
            async with asyncio.TaskGroup() as self._tasks:
                if server is not None:
                    self._tasks.create_task(self._serve_http(server))
                else:
                    self._tasks.create_task(self._serve_sockets(self.app()))
                await self.is_serving.wait()
                await self.missed.catch_up(self.own)
                await self.missed.keep(self._is_connected, self.own)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self.is_serving.clear()
            await self.missed.save()

    async def _serve_http(self, server: HttpServer) -> None:
        self.http_port = server.port
        self.is_serving.set()
        await server.serve(self.app())

    async def _is_connected(self) -> bool:
        """Whether Slack reaches the bot now, as far as one can tell from here."""
        if not self._handlers:
            return True
        connected = [await handler.client.is_connected() for handler in self._handlers]
        return any(connected)

    def app(self) -> AsyncApp:
        """Bolt with every listener."""
        settings = self._settings
        secret = settings.signing_secret.get_secret_value() if settings.signing_secret else ""
        app = AsyncApp(
            name="fireside",
            logger=sdk_logger(),
            client=AsyncWebClient(base_url=f"{settings.api_url}/", logger=sdk_logger()),
            signing_secret=secret,
            authorize=self._authorize(),
            process_before_response=True,
        )
        self._listen_to_events(app)
        self._listen_to_interactions(app)
        app.error(_failed)
        return app

    def _began_panel(self, post: Post, text: str) -> None:
        self.aside(partial(self.panel.began, post, text))

    @property
    def events(self) -> dict[str, Listener]:
        """The events that are listened to, each with what it does."""
        return {
            "app_home_opened": self._beside(self.home.opened),
            "app_mention": self._message,
            "app_uninstalled": self.arrivals.removed,
            "assistant_thread_context_changed": _ignored,
            "assistant_thread_started": self._beside(self.panel.opened),
            "message": self._message,
            "tokens_revoked": self.arrivals.removed,
        }

    async def _message(self, body: Json, own: Own) -> None:
        event = cast("Json", body["event"])
        async with self._order.turn((event["channel"], event.get("user"))):
            try:
                await self.missed.before(event, own)
                await self.arrivals.message(body, own)
            except StoreUnavailable:
                self.missed.dropped(event)
                raise
        self.missed.saw(event)

    def _beside(self, listener: Listener) -> Listener:
        """A listener whose work nothing depends on: the event is acknowledged at once."""

        async def started(body: Json, own: Own) -> None:
            self.aside(partial(listener, body, own))

        return started

    def aside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that no answer depends on, beside them."""

        async def done() -> None:
            try:
                await work()
            except PlatformError as error:
                log.info("%s", error)
            except Exception as error:  # the top of a task
                log.error("something beside the answers failed: %s", without_text(error))

        assert self._tasks is not None, "events come while it serves"
        self._tasks.create_task(done())

    def _listen_to_events(self, app: Any) -> None:
        for name, listener in self.events.items():
            app.event(name)(self._heard(listener))

    def _heard(self, listener: Listener) -> Callable[..., Awaitable[None]]:
        async def heard(body: Json) -> None:
            await listener(body, self.own)

        return heard

    def _listen_to_interactions(self, app: Any) -> None:
        interactions = self.interactions

        async def slash(body: Json, ack: Acknowledge) -> None:
            await interactions.slash(body, ack, self.own)

        async def pressed(body: Json, ack: Acknowledge) -> None:
            await interactions.pressed(body, ack, self.own)

        async def picked(body: Json, ack: Acknowledge) -> None:
            await interactions.picked(body, ack, self.own)

        async def suggest(body: Json, ack: Acknowledge) -> None:
            await interactions.suggest(body, ack)

        async def chosen(body: Json, ack: Acknowledge) -> None:
            await interactions.chosen(body, ack, self.own)

        app.shortcut(re.compile(MENU))(chosen)
        for name in slash_names(self._services.commands, self._settings.command_prefix):
            app.command(name)(slash)
        app.action(re.compile(ACTION))(pressed)
        app.action(FEEDBACK)(pressed)
        app.action(PICK)(picked)
        app.options(PICK)(suggest)

    def _authorize(self) -> Callable[..., Awaitable[AuthorizeResult]]:
        """What Bolt would ask Slack for; a Slack that is away would lose it the event."""

        async def authorize(team_id: str | None) -> AuthorizeResult:
            own = self.own
            return AuthorizeResult(
                enterprise_id=None,
                team_id=team_id or own.team_id,
                bot_user_id=own.user_id,
                bot_id=own.bot_id,
                bot_token=self._settings.require_bot_token(),
            )

        return authorize

    async def _serve_sockets(self, app: AsyncApp) -> None:
        self._handlers = [self._handler(app) for _ in range(self._settings.connections)]
        try:
            for handler in self._handlers:
                await _connect(handler)
            self.is_serving.set()
            await asyncio.Event().wait()
        finally:
            for handler in self._handlers:
                await cast("Any", handler).close_async()

    def _handler(self, app: AsyncApp) -> AsyncSocketModeHandler:
        handler = AsyncSocketModeHandler(
            app,
            self._settings.require_app_token(),
            logger=sdk_logger(),
            web_client=self._api.client,
            proxy=self._settings.proxy_url,
            ping_interval=PING_INTERVAL_S,
        )
        cast("Any", handler.client).message_listeners.append(self._heeds_new_connections())
        return handler

    def _heeds_new_connections(self) -> Callable[..., Awaitable[None]]:
        """Every connection but the first one comes after a gap, however short."""
        greeted = 0

        async def heard(client: object, message: Json, raw: str | None = None) -> None:
            nonlocal greeted
            del client, raw
            if message.get("type") == "hello":
                greeted += 1
                if greeted > 1:
                    self.missed.interrupted()

        return heard


async def _connect(handler: AsyncSocketModeHandler) -> None:
    """Make a first connection; a Slack that is away is waited for."""
    client, pauses_s = handler.client, chain(START_PAUSES_S, repeat(START_PAUSES_S[-1]))
    while True:
        try:
            with connection_errors(APP_TOKEN_KEY):
                client.wss_uri = await client.issue_new_wss_url()
            return await client.connect()
        except PlatformUnavailable as error:
            pause_s = next(pauses_s)
            log.warning("%s; the next try is in %.0f s", error, pause_s)
            await asyncio.sleep(pause_s)


async def _failed(error: Exception) -> None:
    """The top of every listener: say where it failed, and nothing of what somebody wrote."""
    log.error("an event is not acknowledged: %s", without_text(error))


async def _ignored(body: Json, own: Own) -> None:
    """Bolt leaves unacknowledged, and Slack repeats, what nobody listens to."""
    del body, own
