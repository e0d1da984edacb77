"""What arrives from Discord is judged, made into events of ours and handed to the core.

How things are sent is the adapter's business; how a single message is read stands in `parse.py`.
"""

import logging
from collections.abc import Iterable

import discord

from adapters.discord.errors import discord_errors
from adapters.discord.handle import Handle
from adapters.discord.own_messages import replies_to
from adapters.discord.parse import (
    PLATFORM,
    Own,
    author_of,
    conversation_of,
    conversation_of_message,
    is_from_a_member,
    own_in,
    replied_to_id,
    text_of,
    why_addressed,
)
from adapters.discord.reading import Reader
from adapters.discord.settings import Settings
from bot.adapter import Services
from bot.errors import PlatformError, StoreUnavailable
from bot.messages import (
    Addressed,
    ConversationRef,
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Removed,
)
from bot.translations import gettext as _

HIDDEN_REASONS = frozenset({Addressed.REPLY, Addressed.THREAD, Addressed.CHANNEL})
"""Why a message can be for the bot while Discord hides its text from it."""

log = logging.getLogger(__name__)


class Arrivals:
    """Turns events of the client into submitted events."""

    def __init__(
        self, client: discord.Client, services: Services, settings: Settings, reader: Reader
    ) -> None:
        self._client = client
        self._services = services
        self._settings = settings
        self._reader = reader
        self._told_about_permissions: set[int] = set()

    async def message(self, message: discord.Message) -> None:
        """Submit a message that is for the bot; skip every other. Raises `StoreUnavailable`."""
        if not is_from_a_member(message):
            return
        own = own_in(self._client, message.guild)
        conversation = conversation_of_message(message)
        addressed = await self._addressed(message, own, conversation)
        if addressed is None:
            return
        if addressed is Addressed.OVERHEARD:
            await self._overheard(message, own, conversation)
            return
        if (lacking := self._lacking(message)) is not None:
            await self._tell_about_permission(message, lacking)
            return
        if self._is_hidden(message, addressed):
            await self._tell_about_content(message)
            return
        await self._services.submit(await self._event(message, own, conversation, addressed))

    async def _knows(self, conversation: ConversationRef) -> bool:
        """Whether what was said there before is in the context anyway."""
        if await self._services.takes_part(conversation):
            return True
        return await self._services.unaddressed(conversation) is Addressed.OVERHEARD

    async def _overheard(
        self, message: discord.Message, own: Own, conversation: ConversationRef
    ) -> None:
        """Submit what people say to each other, where Discord shows it; nobody waits for it."""
        if not message.content:
            return
        event = await self._event(message, own, conversation, Addressed.OVERHEARD)
        try:
            await self._services.submit(event)
        except StoreUnavailable as error:
            log.error("%s", error.text)

    async def edited(self, payload: discord.RawMessageUpdateEvent) -> None:
        """Submit the new text of a member's message; embeds that Discord adds are no edit."""
        message = payload.message
        if message.edited_at is None or not message.content or not is_from_a_member(message):
            return
        conversation = self._conversation(payload.channel_id, payload.guild_id)
        text = text_of(message, own_in(self._client, message.guild))
        await self._services.submit(
            MessageEdited(str(payload.message_id), conversation, text, message.edited_at)
        )

    async def deleted(
        self, message_ids: Iterable[int], channel_id: int, guild_id: int | None
    ) -> None:
        """Submit deletions and, where that is configured, delete the answers too."""
        conversation = self._conversation(channel_id, guild_id)
        for message_id in message_ids:
            await self._services.submit(MessageDeleted(str(message_id), conversation))
            if self._settings.delete_withdrawn:
                await self._delete_replies(channel_id, message_id)

    async def removed(self, guild: discord.Guild) -> None:
        """Submit that the bot left a guild."""
        await self._services.submit(Removed(PLATFORM, str(guild.id)))

    async def _event(
        self,
        message: discord.Message,
        own: Own,
        conversation: ConversationRef,
        addressed: Addressed,
    ) -> IncomingMessage:
        handle = Handle(message.channel.id, message.id, message.author.id)
        is_first = conversation.thread_id is not None and addressed is Addressed.MENTION
        if is_first:
            is_first = not await self._knows(conversation)
        quoted, attachments = (), ()
        if addressed is not Addressed.OVERHEARD:
            quoted = await self._reader.quoted(message, own, is_first_in_thread=is_first)
            attachments = await self._reader.attachments(message)
        return IncomingMessage(
            id=str(message.id),
            conversation=conversation,
            author=author_of(message, self._settings.manager_permission),
            text=text_of(message, own),
            addressed=addressed,
            sent_at=message.created_at,
            target=handle.target(message.created_at),
            quoted=quoted,
            attachments=attachments,
            replies_to=replied_to_id(message),
        )

    async def _addressed(
        self, message: discord.Message, own: Own, conversation: ConversationRef
    ) -> Addressed | None:
        reason = why_addressed(message, own)
        if reason is None and await self._is_in_its_thread(message, own, conversation):
            reason = Addressed.THREAD
        if reason is None and conversation.channel_id in self._settings.answer_all_channels:
            reason = Addressed.CHANNEL
        return reason or await self._services.unaddressed(conversation)

    async def _is_in_its_thread(
        self, message: discord.Message, own: Own, conversation: ConversationRef
    ) -> bool:
        """Whether it is in a thread that the bot opened or was mentioned in."""
        channel = message.channel
        if conversation.thread_id is None:
            return False
        is_its_own = isinstance(channel, discord.Thread) and channel.owner_id == own.user_id
        return is_its_own or await self._services.takes_part(conversation)

    def _lacking(self, message: discord.Message) -> str | None:
        """The permission without which the bot may not write there, as Discord names it."""
        channel, guild = message.channel, message.guild
        if guild is None or not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
            return None
        me = guild.get_member(self._own_id())
        if me is None or (isinstance(channel, discord.Thread) and channel.parent is None):
            return None
        held = channel.permissions_for(me)
        if isinstance(channel, discord.Thread):
            return None if held.send_messages_in_threads else "Send Messages in Threads"
        return None if held.send_messages else "Send Messages"

    async def _tell_about_permission(self, message: discord.Message, lacking: str) -> None:
        """Tell the owner in the log and the member in private, once for each channel."""
        if message.channel.id in self._told_about_permissions:
            return
        self._told_about_permissions.add(message.channel.id)
        log.warning(
            "I am called in channel %d but may not write there; give my role the permission %s",
            message.channel.id,
            lacking,
        )
        text = _("I may not write in <#{channel}>: it takes the permission {name}.")
        try:
            with discord_errors("telling a member in private"):
                await message.author.send(text.format(channel=message.channel.id, name=lacking))
        except PlatformError as error:
            log.info("%s", error)

    def _is_hidden(self, message: discord.Message, addressed: Addressed) -> bool:
        """Whether Discord hides what was said: there is no Message Content intent."""
        has_intent = self._client.intents.message_content
        return not has_intent and addressed in HIDDEN_REASONS and not message.content

    async def _tell_about_content(self, message: discord.Message) -> None:
        """Tell what to do, once in a conversation."""
        key = f"told.content.{message.channel.id}"
        if await self._services.state.get(key) is not None:
            return
        await self._services.state.put(key, str(message.id))
        await self._say(
            message,
            _(
                "Discord does not show me what you write here unless you mention me. Put {name} "
                "into your message, or use /ask."
            ).format(name=f"<@{self._own_id()}>"),
        )

    async def _say(self, message: discord.Message, text: str) -> None:
        """Say something that is no answer; a failure is only logged."""
        try:
            with discord_errors("replying"):
                await message.reply(
                    text,
                    allowed_mentions=discord.AllowedMentions.none(),
                    mention_author=self._settings.mention_author,
                )
        except PlatformError as error:
            log.warning("%s", error)

    async def _delete_replies(self, channel_id: int, question_id: int) -> None:
        channel = self._client.get_partial_messageable(channel_id)
        try:
            with discord_errors("deleting an answer"):
                for reply in await replies_to(channel, question_id, self._own_id()):
                    await reply.delete()
        except PlatformError as error:
            log.warning("%s", error)

    def _conversation(self, channel_id: int, guild_id: int | None) -> ConversationRef:
        return conversation_of(self._client.get_channel(channel_id), channel_id, guild_id)

    def _own_id(self) -> int:
        assert self._client.user is not None, "events come after the login"
        return self._client.user.id
