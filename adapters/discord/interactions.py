"""Slash commands, the command on a message and buttons: acknowledged first, then submitted."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, cast

import discord

from adapters.discord.buttons import buttons
from adapters.discord.commands import MESSAGE_MENU, Typed, typed
from adapters.discord.errors import discord_errors
from adapters.discord.handle import Handle
from adapters.discord.parse import (
    conversation_of,
    conversation_of_message,
    own_in,
    quoted_of,
    roles_of,
    text_of,
)
from adapters.discord.reading import Reader
from adapters.discord.render import content, files_of
from adapters.discord.settings import Settings
from bot.adapter import Services
from bot.command import MESSAGE_PREFIX, OfMessage
from bot.errors import PlatformError, StoreUnavailable, UsageError
from bot.messages import (
    Action,
    ActionInvoked,
    Addressed,
    Author,
    CommandInvoked,
    ConversationRef,
    IncomingMessage,
    Quoted,
    ReplyView,
)

MAX_CHOICE_CHARS = 100
QUOTED_TIMEOUT_S = 1.5
"""A button has to be acknowledged within 3 s."""

log = logging.getLogger(__name__)


class Interactions:
    """Turns interactions of the client into submitted events."""

    def __init__(
        self, client: discord.Client, services: Services, settings: Settings, reader: Reader
    ) -> None:
        self._reader = reader
        self._client = client
        self._services = services
        self._settings = settings

    async def arrived(self, interaction: discord.Interaction) -> None:
        """Submit a command, or answer what its parameter may be; buttons come by themselves."""
        data = cast("Mapping[str, Any]", interaction.data or {})
        match interaction.type:
            case discord.InteractionType.application_command:
                await self._command(interaction, data)
            case discord.InteractionType.autocomplete:
                await self._complete(interaction, data)
            case _:
                pass

    async def pressed(
        self, interaction: discord.Interaction, action: Action, question_id: int
    ) -> None:
        """Submit a press of a button under an answer, and tell who pressed what came of it."""
        where, author = self._conversation(interaction), self._author(interaction)
        quoted = await self._quoted(interaction, question_id) if action is Action.RETRY else ()
        event = ActionInvoked(str(interaction.id), where, author, action, str(question_id), quoted)
        try:
            told = await self._services.submit(event)
        except StoreUnavailable as error:
            log.error("%s", error.text)
            told = ReplyView(error.for_members, is_complete=True, is_error=True)
        await self._acknowledge(interaction, question_id, told)

    async def _acknowledge(
        self, interaction: discord.Interaction, question_id: int, told: ReplyView | None
    ) -> None:
        """Answer a button within Discord's 3 seconds: in private to who pressed, or silently."""
        try:
            with discord_errors("answering a button"):
                if told is None:
                    await interaction.response.defer()
                    return
                shown = buttons(question_id, interaction.user.id, told.actions)
                await interaction.response.send_message(
                    content(told, "none"),
                    ephemeral=True,
                    allowed_mentions=discord.AllowedMentions.none(),
                    view=shown or discord.utils.MISSING,
                    files=files_of(told),
                )
        except PlatformError as error:
            log.info("%s", error)

    async def _quoted(
        self, interaction: discord.Interaction, question_id: int
    ) -> tuple[Quoted, ...]:
        """What a question is about, as it is there now; nothing where that takes too long."""
        channel, message = interaction.channel, interaction.message
        if message is None or message.reference is None or channel is None:
            return ()
        if isinstance(channel, discord.ForumChannel | discord.CategoryChannel):
            return ()
        try:
            async with asyncio.timeout(QUOTED_TIMEOUT_S):
                with discord_errors("reading a question again"):
                    question = await channel.fetch_message(question_id)
                return await self._quoted_in(question)
        except (PlatformError, TimeoutError) as error:
            log.info("a question is asked again without what it quotes: %s", type(error).__name__)
            return ()

    async def _quoted_in(self, question: discord.Message) -> tuple[Quoted, ...]:
        where = conversation_of_message(question)
        is_first = where.thread_id is not None and not await self._services.takes_part(
            where, before=str(question.id)
        )
        own = own_in(self._client, question.guild)
        return await self._reader.quoted(question, own, is_first_in_thread=is_first)

    async def _command(self, interaction: discord.Interaction, data: Mapping[str, Any]) -> None:
        given = typed(data)
        if data.get("type") == MESSAGE_MENU:
            given = self._from_menu(interaction, data)
        is_private = given is not None and self._is_private(given.name)
        handle = await self._defer(interaction, is_private=is_private)
        event: IncomingMessage | CommandInvoked
        if given is None:
            event = self._about_message(interaction, data, handle)
        else:
            event = CommandInvoked(
                id=str(interaction.id),
                conversation=self._conversation(interaction),
                author=self._author(interaction),
                name=given.name,
                arguments=given.arguments,
                sent_at=interaction.created_at,
                target=handle.target(interaction.created_at),
                is_hidden=True,
            )
        try:
            await self._services.submit(event)
        except StoreUnavailable as error:
            log.error("%s", error.text)
            with discord_errors("answering a command"):
                await interaction.edit_original_response(content=error.for_members)

    def _from_menu(self, interaction: discord.Interaction, data: Mapping[str, Any]) -> Typed | None:
        """The command that a message's menu stands for; None for "Ask Fireside"."""
        command = self._services.commands.in_menu(str(data["name"]))
        if command is None or command.menu is None:
            return None
        messages = self._chosen_messages(interaction, data)
        match command.menu.gives:
            case OfMessage.TEXT:
                own = own_in(self._client, interaction.guild)
                value = "".join(text_of(message, own) for message in messages)
            case OfMessage.ID:
                value = "".join(MESSAGE_PREFIX + str(message.id) for message in messages)
        return Typed(command.name, {command.menu.parameter: value})

    def _about_message(
        self, interaction: discord.Interaction, data: Mapping[str, Any], handle: Handle
    ) -> IncomingMessage:
        """The question that "Ask Fireside" on a message is: what do you say to this?"""
        own = own_in(self._client, interaction.guild)
        quoted = [quoted_of(one, own) for one in self._chosen_messages(interaction, data)]
        return IncomingMessage(
            id=str(interaction.id),
            conversation=self._conversation(interaction),
            author=self._author(interaction),
            text="",
            addressed=Addressed.COMMAND,
            sent_at=interaction.created_at,
            target=handle.target(interaction.created_at),
            quoted=tuple(one for one in quoted if one is not None),
        )

    def _chosen_messages(
        self, interaction: discord.Interaction, data: Mapping[str, Any]
    ) -> list[discord.Message]:
        """The message in whose menu a command was chosen: Discord sends it along."""
        messages: Mapping[str, Any] = data.get("resolved", {}).get("messages", {})
        state = interaction._state  # pyright: ignore[reportPrivateUsage] - as discord.py's own menus
        channel: Any = interaction.channel
        return [
            discord.Message(state=state, channel=channel, data=one) for one in messages.values()
        ]

    async def _defer(self, interaction: discord.Interaction, *, is_private: bool) -> Handle:
        """Acknowledge within Discord's 3 seconds; where that fails the channel is answered."""
        channel_id = interaction.channel_id or 0
        plain = Handle(
            channel_id, interaction.id, interaction.user.id, is_message=False, is_private=is_private
        )
        try:
            with discord_errors("acknowledging a command"):
                response = await interaction.response.defer(ephemeral=is_private, thinking=True)
        except PlatformError as error:
            log.warning("%s", error)
            return plain
        original_id = response.message_id if response is not None else None
        return Handle(
            channel_id,
            interaction.id,
            interaction.user.id,
            is_message=False,
            token=interaction.token,
            original_id=original_id,
            is_private=is_private,
        )

    async def _complete(self, interaction: discord.Interaction, data: Mapping[str, Any]) -> None:
        given = typed(data)
        if given.focused is None:
            return
        prefix = given.arguments[given.focused]
        found = await self._services.complete(given.name, given.focused, prefix)
        choices = [
            discord.app_commands.Choice(name=one.label[:MAX_CHOICE_CHARS], value=one.value)
            for one in found
        ]
        try:
            with discord_errors("completing a parameter"):
                await interaction.response.autocomplete(choices[:25])
        except PlatformError as error:
            log.info("%s", error)

    def _is_private(self, name: str) -> bool:
        """Whether a command's answer is for its caller alone, as far as is known beforehand."""
        try:
            return self._services.commands.get(name).is_private
        except UsageError:
            return True

    def _conversation(self, interaction: discord.Interaction) -> ConversationRef:
        is_direct = not interaction.context.private_channel
        channel_id = interaction.channel_id or 0
        return conversation_of(
            interaction.channel, channel_id, interaction.guild_id, is_direct=is_direct
        )

    def _author(self, interaction: discord.Interaction) -> Author:
        held = interaction.permissions
        can_manage = interaction.guild_id is None or getattr(
            held, self._settings.manager_permission
        )
        return Author(
            str(interaction.user.id),
            interaction.user.display_name,
            interaction.user.bot,
            can_manage=bool(can_manage),
            roles=roles_of(interaction.user),
        )
