"""Discord as an adapter: posts, edits and finds the messages of answers."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any

import discord
from typing_extensions import override

from adapters.discord.buttons import buttons
from adapters.discord.client import FiresideClient, use_addresses
from adapters.discord.errors import connection_errors, discord_errors
from adapters.discord.handle import HANDLES, Handle, channel_target
from adapters.discord.history import ChannelHistory
from adapters.discord.indicator import TypingSigns
from adapters.discord.own_messages import find, part_index, replies_to
from adapters.discord.parse import PLATFORM
from adapters.discord.render import MAX_CHARS, PLACEHOLDER, content, files_of, length
from adapters.discord.settings import Settings
from bot.adapter import Adapter, Capabilities, Progress, Services, WorkingIndicator
from bot.concurrency import beside
from bot.errors import PlatformError, PlatformUnavailable, TargetExpired
from bot.messages import Buttons, ReplyTarget, ReplyView
from bot.platforms.recent_posts import RecentPosts
from bot.platforms.write_budget import Pace

EDIT_INTERVAL_S = 1.2
REQUEST_TIMEOUT_S = 180.0
START_PAUSES_S = (1.0, 5.0, 15.0, 60.0)
"""Between tries to reach Discord at the start; later the library reconnects by itself."""

NO_PINGS = discord.AllowedMentions.none()

log = logging.getLogger(__name__)


class DiscordAdapter(Adapter):
    """The adapter. `now` gives aware UTC times; `client` is what is connected."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        # discord.py's debug lines hold what people write: they must not come even where ours do.
        library_log = logging.getLogger("discord")
        if library_log.getEffectiveLevel() < logging.INFO:
            library_log.setLevel(logging.INFO)
        self._settings = settings
        self._account = f"{PLATFORM}:{settings.bot_id}"
        self._token = settings.require_token()
        self._now = now
        self._sleep = sleep
        self._pace = Pace(settings.edits_per_window, settings.edit_window_s, time.monotonic)
        self.client = FiresideClient(settings, services, self._pace)
        self._typing = TypingSigns(self._type, time.monotonic)
        self._history = ChannelHistory(self.client)
        self._recent = RecentPosts()

    @property
    @override
    def capabilities(self) -> Capabilities:
        """Edits, buttons and private answers; the footer's room is kept free."""
        return Capabilities(
            platform=PLATFORM,
            max_chars=MAX_CHARS,
            edit_interval_s=EDIT_INTERVAL_S,
            buttons=Buttons(self._settings.buttons),
            has_pictures=True,
            has_files=True,
            max_parts=self._settings.max_messages or None,
            length=length,
            reader=self._history,
            target_in=channel_target,
        )

    @property
    @override
    def account(self) -> str:
        """The bot's id, from its token: known before anything is connected."""
        return self._account

    @override
    async def run(self) -> None:
        """Stay connected until cancelled; a Discord that is away at the start is waited for.

        Raises `ConfigurationError` for what only the owner can mend: a wrong token, an intent that
        the application does not have.
        """
        use_addresses(self._settings)
        missed = self.client.missed
        pauses_s = chain(START_PAUSES_S, repeat(START_PAUSES_S[-1]))
        try:
            async with self.client, beside(missed.keep(), is_joined=False):
                while not await self._serve():
                    pause_s = next(pauses_s)
                    log.warning("Discord is not reached; the next try is in %.0f s", pause_s)
                    await self._sleep(pause_s)
        finally:
            await missed.save()

    async def _serve(self) -> bool:
        """Log in, unless that is done, and stay connected; False where Discord is away."""
        try:
            with connection_errors():
                if not self.client.is_online.is_set():
                    await self.client.login(self._token)
                await self.client.connect()
        except PlatformUnavailable as error:
            log.warning("%s", error)
            if self.client.is_closed():
                raise
            if not self.client.is_online.is_set():
                await self.client.end_session()
            return False
        return True

    @override
    async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        """Post one message: the first of a command's answer takes the place of "thinking"."""
        handle = HANDLES.current(target, self._now())
        async with self._turn(handle):
            try:
                message_id = await self._post(handle, view, key)
            except TargetExpired:
                message_id = await self._post(HANDLES.fallback(target), view, key)
        self._recent.remember(key, message_id)
        return message_id

    @override
    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        """Show a message anew. What will change again is left out where the channel is busy."""
        if not message_id.isdecimal():
            raise PlatformError("that is no message of Discord")
        handle = HANDLES.current(target, self._now())
        if view is not None and not view.is_complete:
            with self._pace.passing(handle.channel_id, message_id) as may_show:
                if may_show:
                    await self.client.is_online.passed()
                    await self._edit_or_fall_back(target, handle, int(message_id), view)
            return
        self._pace.end(handle.channel_id, message_id)
        async with self._turn(handle):
            await self._edit_or_fall_back(target, handle, int(message_id), view)

    @override
    async def find_reply(self, target: ReplyTarget, key: str) -> str | None:
        """The message posted with `key`: by its nonce, or as this part of the answer there."""
        if (known := self._recent.id_of(key)) is not None:
            return known
        if part_index(key) is None:
            return None
        await self.client.is_online.passed()
        handle = HANDLES.current(target, self._now())
        with discord_errors("looking for an answer"):
            if handle.token is not None and part_index(key) == 0:
                return await self._original_if_answered(handle)
            channel = self._channel(handle)
            found = find(await replies_to(channel, handle.question_id, self._own_id()), key)
        return None if found is None else str(found)

    @override
    @asynccontextmanager
    async def working(self, target: ReplyTarget) -> AsyncGenerator[WorkingIndicator]:
        """Typing; a command's own "thinking" says the same."""
        handle = HANDLES.current(target, self._now())
        if handle.token is not None:
            yield _Silent()
            return
        async with beside(self._typing.show(handle.channel_id), is_joined=False):
            yield _Silent()

    async def _post(self, handle: Handle, view: ReplyView, key: str) -> str:
        handle.refuse_private(view)
        with discord_errors("posting an answer"):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                if handle.token is not None:
                    return str(await self._respond(handle, view))
                return str(await self._send(handle, view, key))

    async def _send(self, handle: Handle, view: ReplyView, key: str) -> int:
        """A message in the channel. With its nonce Discord shows it once, however often it is
        sent; it replies to its question, so that it can be found again later.

        Sent again, Discord gives back the message of the first time, with the text of that time.
        """
        mentions = discord.AllowedMentions.none()
        extra: dict[str, Any] = {}
        if handle.is_message:
            mentions.replied_user = self._settings.mention_author and view.index == 0
            extra["reference"] = discord.MessageReference(
                message_id=handle.question_id,
                channel_id=handle.channel_id,
                fail_if_not_exists=False,
            )
        text, shown = self._content(view), self._buttons(handle, view)
        if shown is not None:
            extra["view"] = shown
        if files := files_of(view):
            extra["files"] = files
        message: discord.Message = await self._channel(handle).send(
            text, nonce=key, allowed_mentions=mentions, **extra
        )
        is_same_text = message.content.strip() == text.strip()
        if not is_same_text or bool(message.components) != (shown is not None):
            await message.edit(content=text, allowed_mentions=NO_PINGS, view=shown)
        return message.id

    async def _respond(self, handle: Handle, view: ReplyView) -> int:
        """A command's answer: its deferred response first, further messages after it."""
        original_id = handle.original_id if view.index == 0 else None
        if original_id is None:
            return await self._follow_up(handle, view)
        if handle.is_private or not view.is_private:
            await self._edit_response(handle, original_id, view)
            return original_id
        # Only a response that no longer says "thinking" can be followed by a private one.
        await self._webhook(handle).edit_message(original_id, content=PLACEHOLDER)
        message_id = await self._follow_up(handle, view)
        await self._webhook(handle).delete_message(original_id)
        return message_id

    async def _follow_up(self, handle: Handle, view: ReplyView) -> int:
        message = await self._webhook(handle).send(
            self._content(view),
            ephemeral=view.is_private or handle.is_private,
            allowed_mentions=NO_PINGS,
            view=self._buttons(handle, view) or discord.utils.MISSING,
            files=files_of(view),
            wait=True,
        )
        return message.id

    async def _edit_or_fall_back(
        self, target: ReplyTarget, handle: Handle, message_id: int, view: ReplyView | None
    ) -> None:
        try:
            await self._edit(handle, message_id, view)
        except TargetExpired:
            await self._edit(HANDLES.fallback(target), message_id, view)

    async def _edit(self, handle: Handle, message_id: int, view: ReplyView | None) -> None:
        with discord_errors("editing an answer"):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                if handle.token is not None:
                    await self._edit_response(handle, message_id, view)
                    return
                message = self._channel(handle).get_partial_message(message_id)
                if view is None:
                    await message.delete()
                else:
                    await message.edit(
                        content=self._content(view),
                        allowed_mentions=NO_PINGS,
                        view=self._buttons(handle, view),
                        attachments=_attachments(view),
                    )

    async def _edit_response(self, handle: Handle, message_id: int, view: ReplyView | None) -> None:
        webhook = self._webhook(handle)
        if view is None:
            await webhook.delete_message(message_id)
            return
        await webhook.edit_message(
            message_id,
            content=self._content(view),
            allowed_mentions=NO_PINGS,
            view=self._buttons(handle, view),
            attachments=_attachments(view),
        )

    async def _original_if_answered(self, handle: Handle) -> str | None:
        if handle.original_id is None:
            return None
        original = await self._webhook(handle).fetch_message(handle.original_id)
        return None if original.flags.loading else str(original.id)

    @asynccontextmanager
    async def _turn(self, handle: Handle) -> AsyncGenerator[None]:
        """Wait for the connection and for the channel's turn; the block is the write."""
        await self.client.is_online.passed()
        async with self._pace.turn(handle.channel_id):
            yield

    async def _type(self, channel_id: int) -> None:
        await self.client.is_online.passed()
        with discord_errors("showing that work goes on"):
            await self.client.http.send_typing(channel_id)

    def _content(self, view: ReplyView) -> str:
        return content(view, self._settings.footer)

    def _buttons(self, handle: Handle, view: ReplyView) -> discord.ui.View | None:
        return buttons(handle.question_id, handle.asker_id, view.actions)

    def _channel(self, handle: Handle) -> discord.PartialMessageable:
        return self.client.get_partial_messageable(handle.channel_id)

    def _webhook(self, handle: Handle) -> discord.Webhook:
        assert handle.token is not None, "only an interaction has one"
        application_id = self.client.application_id
        assert application_id is not None, "known since the login"
        webhook = discord.Webhook.partial(application_id, handle.token, client=self.client)
        webhook.type = discord.WebhookType.application
        return webhook

    def _own_id(self) -> int:
        assert self.client.user is not None, "known since the login"
        return self.client.user.id


class _Silent:
    """Discord has no place for words beside "typing"."""

    async def update(self, progress: Progress) -> None:
        """Nothing to show."""


def _attachments(view: ReplyView) -> Any:
    """The files of a message: those of an earlier answer stay until the new one is complete."""
    return files_of(view) if view.is_complete else discord.utils.MISSING


def build(settings: Settings, services: Services) -> Adapter:
    """The adapter for a token. Raises `ConfigurationError` where none is set."""
    return DiscordAdapter(settings, services, lambda: datetime.now(UTC))
