"""What arrives from Slack is judged, made into events of ours and handed to the core.

How a payload is read stands in `parse.py`; how things are sent is the adapter's business.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from adapters.slack.own_messages import replies_to
from adapters.slack.parse import (
    PLATFORM,
    Json,
    Own,
    Post,
    conversation_of,
    handle_of_post,
    installation_of,
    is_edit,
    is_tombstone,
    post_id,
    post_of,
)
from adapters.slack.people import People
from adapters.slack.readable import mentions, without_own_mention
from adapters.slack.reading import Reader
from adapters.slack.settings import Settings
from adapters.slack.text_commands import TextCommands
from adapters.slack.web_api import WebApi
from bot.adapter import Services
from bot.errors import PlatformError
from bot.messages import (
    Addressed,
    ConversationRef,
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Quoted,
    Removed,
)
from bot.translations import gettext as _

log = logging.getLogger(__name__)


class Arrivals:
    """Turns events into submitted events. Raises `StoreUnavailable`: then nothing is acknowledged.

    `began_panel` is told of the first message in a thread of the assistant panel.
    """

    def __init__(
        self,
        api: WebApi,
        people: People,
        services: Services,
        settings: Settings,
        commands: TextCommands,
        began_panel: Callable[[Post, str], None],
    ) -> None:
        self._api = api
        self._people = people
        self._services = services
        self._settings = settings
        self._reader = Reader(api, people, settings)
        self._commands = commands
        self._began_panel = began_panel

    async def message(self, body: Json, own: Own) -> None:
        """A `message` or an `app_mention`, new, changed or deleted."""
        event = cast("Json", body["event"])
        installation = installation_of(body, own)
        match event.get("subtype"):
            case "message_changed" if is_tombstone(event):
                await self._deleted(event, installation, own)
            case "message_changed":
                await self._changed(event, installation, own)
            case "message_deleted":
                await self._deleted(event, installation, own)
            case _:
                post = post_of(event, installation)
                if post is not None and post.user_id != own.user_id:
                    await self.said(post, own)

    async def said(self, post: Post, own: Own) -> None:
        """Submit a message that is for the bot; pass over every other."""
        addressed = await self._addressed(post, own)
        if addressed is None:
            return
        if await self._people.is_stranger(post, own):
            await self._tell_stranger(post)
            return
        author = await self._people.author(post.user_id, post.channel_id, is_direct=post.is_direct)
        if author.is_bot:
            return
        if await self._commands.said(post, own, author):
            return
        await self._services.submit(await self.event(post, own, addressed))

    async def event(self, post: Post, own: Own, addressed: Addressed) -> IncomingMessage:
        """A message with all that belongs to it."""
        conversation = self.conversation(post, addressed)
        quotes = await self._quotes(post, own, addressed, conversation)
        files = () if addressed is Addressed.OVERHEARD else post.files
        author, text, quoted, attachments = await asyncio.gather(
            self._people.author(post.user_id, post.channel_id, is_direct=post.is_direct),
            self.text(post, own),
            self._reader.quoted(post, own) if quotes else _nothing(),
            self._reader.attachments(files),
        )
        handle = handle_of_post(post, reply_in_thread=self._settings.reply_in_thread)
        return IncomingMessage(
            id=post.id,
            conversation=conversation,
            author=author,
            text=text,
            addressed=addressed,
            sent_at=post.sent_at,
            target=handle.target(post.sent_at),
            quoted=quoted,
            attachments=attachments,
        )

    async def removed(self, body: Json, own: Own) -> None:
        """Submit that the app was uninstalled, or that its token was revoked."""
        event = cast("Json", body["event"])
        tokens = cast("Json", event.get("tokens") or {})
        if event["type"] == "tokens_revoked" and not tokens.get("bot"):
            return
        installation = str(body.get("team_id") or own.team_id)
        log.warning(
            "the app was removed from workspace %s; install it again to go on", installation
        )
        await self._services.submit(Removed(PLATFORM, installation))

    def conversation(self, post: Post, addressed: Addressed | None = None) -> ConversationRef:
        """The conversation that a message belongs to; what is overheard begins no thread."""
        if addressed is Addressed.OVERHEARD:
            return _place(post)
        return conversation_of(post, reply_in_thread=self._settings.reply_in_thread)

    async def text(self, post: Post, own: Own) -> str:
        """What was said, as words, without the bot's own name before and after it."""
        return await self._people.readable(without_own_mention(post.text, own.user_id), own)

    async def _addressed(self, post: Post, own: Own) -> Addressed | None:
        if post.is_direct:
            return Addressed.DIRECT
        if mentions(post.text, own.user_id):
            return Addressed.MENTION
        if post.thread_ts is not None and await self._services.takes_part(self.conversation(post)):
            return Addressed.THREAD
        if post.channel_id in self._settings.answer_all_channels:
            return Addressed.CHANNEL
        return await self._services.unaddressed(_place(post))

    async def _quotes(
        self, post: Post, own: Own, addressed: Addressed, conversation: ConversationRef
    ) -> bool:
        """Whether what was said before a message is read: it is not in the context anyway.

        That is where the bot is first called in a thread, and where a mention begins a thread of
        its own in a channel that the bot listens to.
        """
        if addressed is not Addressed.MENTION and not post.is_direct:
            return False
        listens = await self._services.unaddressed(_place(post)) is Addressed.OVERHEARD
        if post.thread_ts is None:
            return listens and conversation.thread_id is not None
        if await self._services.takes_part(conversation, post.id):
            return False
        if post.is_direct:
            self._began_panel(post, await self.text(post, own))
            return False
        return not listens

    async def _changed(self, event: Json, installation: str, own: Own) -> None:
        """Submit the new text of a member's message; links that Slack unfurls are no edit."""
        message = cast("Json", event.get("message") or {})
        place = {name: event.get(name) for name in ("channel", "channel_type")}
        post = post_of({**message, **place}, installation)
        if post is None or not is_edit(event):
            return
        text = await self.text(post, own)
        edited_at = datetime.fromtimestamp(float(message["edited"]["ts"]), UTC)
        await self._services.submit(
            MessageEdited(post.id, self.conversation(post), text, edited_at)
        )

    async def _deleted(self, event: Json, installation: str, own: Own) -> None:
        """Submit a deletion and, where that is configured, delete the answer too."""
        previous = cast("Json", event.get("previous_message") or {})
        channel_id = str(event["channel"])
        ts = str(event.get("deleted_ts") or previous.get("ts") or event["message"]["ts"])
        post = post_of({**previous, "ts": ts, "channel": channel_id}, installation)
        where = (
            ConversationRef(PLATFORM, installation, channel_id)
            if post is None
            else self.conversation(post)
        )
        await self._services.submit(MessageDeleted(post_id(channel_id, ts), where))
        if self._settings.delete_withdrawn and post is not None:
            await self._delete_replies(post, own)

    async def _delete_replies(self, post: Post, own: Own) -> None:
        handle = handle_of_post(post, reply_in_thread=self._settings.reply_in_thread)
        try:
            for ts in await replies_to(self._api, handle, own):
                await self._api.call("chat.delete", channel=post.channel_id, ts=ts)
        except PlatformError as error:
            log.warning("an answer stays although its question was deleted: %s", error)

    async def _tell_stranger(self, post: Post) -> None:
        """Tell a guest once in a channel that they are not answered."""
        key = f"told.guest.{post.channel_id}.{post.user_id}"
        if await self._services.state.get(key) is not None:
            return
        await self._services.state.put(key, post.ts)
        text = _(
            "I answer members of this workspace only. Ask one of its admins to let me answer you."
        )
        try:
            await self._api.call(
                "chat.postEphemeral",
                channel=post.channel_id,
                user=post.user_id,
                thread_ts=post.thread_ts,
                text=text,
            )
        except PlatformError as error:
            log.info("%s", error)


async def _nothing() -> tuple[Quoted, ...]:
    return ()


def _place(post: Post) -> ConversationRef:
    """Where a message stands, whatever its answer would begin."""
    return ConversationRef(PLATFORM, post.team_id, post.channel_id, post.thread_ts, post.is_direct)
