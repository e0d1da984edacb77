"""Slack as an adapter: posts, edits and finds the messages of answers."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any

from typing_extensions import override

from adapters.slack.client import START_PAUSES_S, SlackClient
from adapters.slack.errors import EXPLAINED, IS_STREAMING, NOT_THERE, SlackRefusalError
from adapters.slack.files import Files
from adapters.slack.handle import HANDLES, Handle, channel_target
from adapters.slack.home import is_home
from adapters.slack.indicator import Signs
from adapters.slack.own_messages import after, find, notice_metadata, reply_metadata
from adapters.slack.parse import PLATFORM
from adapters.slack.render import MAX_CHARS, blocks, length, notification, plain
from adapters.slack.responses import Responses, is_response
from adapters.slack.settings import Settings
from adapters.slack.streams import Streams
from adapters.slack.web_api import WebApi
from bot.adapter import Adapter, Capabilities, Progress, Services, WorkingIndicator
from bot.errors import PlatformError, PlatformUnavailable, TargetExpired
from bot.messages import Buttons, ReplyTarget, ReplyView
from bot.platforms.recent_posts import RecentPosts
from bot.translations import gettext as _

EDIT_INTERVAL_S = 1.2
log = logging.getLogger(__name__)


class SlackAdapter(Adapter):
    """The adapter. `now` gives aware UTC times; `clock` and `sleep` measure budgets and streams."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._account = f"{PLATFORM}:{settings.bot_id}"
        self._now = now
        self._sleep = sleep
        self._api = WebApi(settings, clock, sleep)
        self.client = SlackClient(settings, services, self._api, now, clock)
        self._streams = Streams(self._api, settings, clock)
        self._signs = Signs(self._api)
        self._responses = Responses(self._api, settings)
        self._files = Files(self._api)
        self._recent = RecentPosts()
        self._told: set[str] = set()

    @property
    @override
    def capabilities(self) -> Capabilities:
        """Edits and private answers; a native stream shows just what is stable of a view."""
        return Capabilities(
            platform=PLATFORM,
            max_chars=MAX_CHARS,
            edit_interval_s=EDIT_INTERVAL_S,
            buttons=Buttons(self._settings.buttons),
            length=length,
            has_pictures=True,
            has_files=True,
            tells_progress=True,
            reader=self.client.history,
            target_in=channel_target,
        )

    @property
    @override
    def account(self) -> str:
        """The bot in its workspace, from its token: known before anything is connected."""
        return self._account

    @override
    async def run(self) -> None:
        """Stay connected until cancelled; a Slack that is away at the start is waited for.

        Raises `ConfigurationError` for what only the owner can mend, such as a wrong token.
        """
        pauses_s = chain(START_PAUSES_S, repeat(START_PAUSES_S[-1]))
        async with self._api.connected():
            while not self.client.is_online.is_set():
                try:
                    await self.client.log_in()
                except PlatformUnavailable as error:
                    pause_s = next(pauses_s)
                    log.warning("%s; the next try is in %.0f s", error, pause_s)
                    await self._sleep(pause_s)
            await self.client.serve()

    @override
    async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        """Post one message; the first one takes the place of the sign of work."""
        await self.client.is_online.passed()
        handle = HANDLES.current(target, self._now())
        view = await self._files.with_file(handle, view)
        try:
            message_id = await self._post(handle, view, key)
        except TargetExpired:
            message_id = await self._post(HANDLES.fallback(target), view, key)
        self._recent.remember(key, message_id)
        if _is_message(message_id):
            await self._files.share_picture(handle, message_id, view)
        return message_id

    @override
    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        """Show a message anew. What will change again is left out where Slack is busy."""
        handle = HANDLES.current(target, self._now())
        if is_home(message_id):
            await self.client.is_online.passed()
            if view is not None:
                await self.client.home.post(handle, view, "", self.client.own)
            return
        if not is_response(message_id) and not _is_message(message_id):
            raise PlatformError("that is no message of Slack")
        await self.client.is_online.passed()
        if view is not None:
            view = await self._files.with_file(handle, view)
        if is_response(message_id):
            await self._edit_response(target, handle, message_id, view)
            return
        if view is not None and not view.is_complete:
            await self._show_growing(handle, message_id, view)
            return
        await self._streams.stop(message_id)
        self._api.end("chat.update", message_id)
        if view is None:
            await self._api.call("chat.delete", channel=handle.channel_id, ts=message_id)
        else:
            await self._show_whole(handle, message_id, view)
            await self._files.share_picture(handle, message_id, view)

    @override
    async def find_reply(self, target: ReplyTarget, key: str) -> str | None:
        """The message posted with `key`, by its metadata."""
        if (known := self._recent.id_of(key)) is not None:
            return known
        await self.client.is_online.passed()
        handle = HANDLES.current(target, self._now())
        if handle.is_home:
            return None
        return find(await after(self._api, handle, self.client.own), key, handle)

    @override
    def working(self, target: ReplyTarget) -> AbstractAsyncContextManager[WorkingIndicator]:
        """The status line of a thread, or a placeholder; a command shows nothing of its own."""
        handle = HANDLES.current(target, self._now())
        if handle.response_url is not None or handle.is_home:
            return _silent()
        return self._signs.show(handle)

    async def _post(self, handle: Handle, view: ReplyView, key: str) -> str:
        if handle.is_home:
            return await self.client.home.post(handle, view, key, self.client.own)
        if view.is_private and not handle.is_direct:
            return await self._responses.post(handle, view, key)
        if view.is_private and handle.response_url is not None:
            return await self._responses.post(handle, view, key)
        placeholder = await self._signs.take(handle.question_id) if view.index == 0 else None
        if placeholder is not None:
            await self._update(handle, placeholder, view)
            return placeholder
        stream = await self._streams.start(handle, view, key)
        if stream is not None:
            return stream
        try:
            return await self._say(handle, view, key)
        except SlackRefusalError as error:
            if error.code not in NOT_THERE:
                raise
            if handle.response_url is not None:
                return await self._responses.post(handle, view, key)
            await self._tell_in_private(handle, error)
            raise

    async def _tell_in_private(self, handle: Handle, refusal: SlackRefusalError) -> None:
        """Tell the owner in the log and who asked directly, once for each channel."""
        if handle.channel_id in self._told or not handle.asker_id:
            return
        self._told.add(handle.channel_id)
        log.warning("I am asked in channel %s: %s", handle.channel_id, refusal)
        why = EXPLAINED[refusal.code]
        text = _("I cannot answer in <#{channel}>: {why}.")
        try:
            await self._api.call(
                "chat.postMessage",
                channel=handle.asker_id,
                text=text.format(channel=handle.channel_id, why=why),
                metadata=notice_metadata(),
            )
        except PlatformError as error:
            log.info("%s", error)

    async def _say(self, handle: Handle, view: ReplyView, key: str) -> str:
        answer = await self._api.call(
            "chat.postMessage",
            channel=handle.channel_id,
            thread_ts=handle.thread_ts,
            metadata=reply_metadata(handle, view, key),
            unfurl_links=False,
            unfurl_media=False,
            **self._content(handle, view),
        )
        return str(answer["ts"])

    async def _show_growing(self, handle: Handle, ts: str, view: ReplyView) -> None:
        if await self._streams.append(ts, view):
            return
        with self._api.passing("chat.update", ts) as may_show:
            if may_show:
                await self._update_now(handle, ts, view)

    async def _update_now(self, handle: Handle, ts: str, view: ReplyView) -> None:
        """Show what will change again. A stream of a process that died goes on growing by edits."""
        try:
            await self._api.call_now("chat.update", **self._update_arguments(handle, ts, view))
        except SlackRefusalError as error:
            if error.code not in IS_STREAMING:
                raise
            await self._streams.stop_unknown(handle.channel_id, ts)

    async def _show_whole(self, handle: Handle, ts: str, view: ReplyView) -> None:
        try:
            await self._update(handle, ts, view)
        except SlackRefusalError as error:
            if error.code not in IS_STREAMING:
                raise
            await self._streams.stop_unknown(handle.channel_id, ts)
            await self._update(handle, ts, view)

    async def _update(self, handle: Handle, ts: str, view: ReplyView) -> None:
        await self._api.call("chat.update", **self._update_arguments(handle, ts, view))

    async def _edit_response(
        self, target: ReplyTarget, handle: Handle, message_id: str, view: ReplyView | None
    ) -> None:
        try:
            await self._responses.edit(handle, message_id, view)
        except TargetExpired:
            await self._responses.edit(HANDLES.fallback(target), message_id, view)

    def _update_arguments(self, handle: Handle, ts: str, view: ReplyView) -> dict[str, Any]:
        key = self._recent.key_of(ts)
        return {
            "channel": handle.channel_id,
            "ts": ts,
            "metadata": reply_metadata(handle, view, key),
            **self._content(handle, view),
        }

    def _content(self, handle: Handle, view: ReplyView) -> dict[str, Any]:
        if view.is_plain:
            return {"text": plain(view), "blocks": []}
        return {"text": notification(view), "blocks": blocks(view, handle, self._settings)}


def _is_message(message_id: str) -> bool:
    """Whether an id is Slack's own of a message, its time."""
    return re.fullmatch(r"\d+\.\d+", message_id) is not None


class _Silent(WorkingIndicator):
    """A platform without a place for progress."""

    @override
    async def update(self, progress: Progress) -> None:
        del progress


@asynccontextmanager
async def _silent() -> AsyncGenerator[WorkingIndicator]:
    yield _Silent()


def build(settings: Settings, services: Services) -> Adapter:
    """The adapter for the tokens. Raises `ConfigurationError` where one is missing."""
    if settings.mode == "socket":
        settings.require_app_token()
    else:
        settings.require_signing_secret()
    return SlackAdapter(settings, services, lambda: datetime.now(UTC))
