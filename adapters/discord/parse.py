"""A message of Discord becomes values of ours: who, where, what, and why it should be answered.

It asks nobody and sends nothing; what has to be fetched (files, what is quoted) is in `reading.py`.
"""

from dataclasses import dataclass

import discord

from adapters.discord.readable import Names, own_mentions, readable, without_own_mention
from adapters.discord.settings import ManagerPermission
from bot.messages import Addressed, Author, ConversationRef, Quoted
from bot.reply.heading import without_repeated

PLATFORM = "discord"
DIRECT = "dm"

ANSWERED_TYPES = frozenset({discord.MessageType.default, discord.MessageType.reply})
"""What members write; joins, pins, boosts and their like are no questions."""


@dataclass(frozen=True, slots=True)
class Own:
    """Who the bot is in a guild: itself, its name there, and the role that Discord made for it."""

    user_id: int
    name: str
    role_id: int | None = None

    @property
    def mentions(self) -> frozenset[str]:
        """How it is mentioned."""
        return own_mentions(self.user_id, self.role_id)


def own_in(client: discord.Client, guild: discord.Guild | None) -> Own:
    """Who the bot is there."""
    user = client.user
    assert user is not None, "events come after the login"
    role = guild.self_role if guild is not None else None
    name = guild.me.display_name if guild is not None and guild.get_member(user.id) else user.name
    return Own(user.id, name, role.id if role else None)


def conversation_of(
    channel: object, channel_id: int, guild_id: int | None, *, is_direct: bool | None = None
) -> ConversationRef:
    """The conversation of a channel; a thread or a forum's post is one of its own."""
    if guild_id is None:
        direct = True if is_direct is None else is_direct
        return ConversationRef(PLATFORM, DIRECT, str(channel_id), is_direct=direct)
    if isinstance(channel, discord.Thread):
        parent = str(channel.parent_id)
        return ConversationRef(PLATFORM, str(guild_id), parent, thread_id=str(channel.id))
    return ConversationRef(PLATFORM, str(guild_id), str(channel_id))


def conversation_of_message(message: discord.Message) -> ConversationRef:
    """The conversation that a message belongs to."""
    guild_id = message.guild.id if message.guild else None
    return conversation_of(message.channel, message.channel.id, guild_id)


def is_from_a_member(message: discord.Message) -> bool:
    """Whether a person wrote it: not a bot, a webhook or Discord itself."""
    is_automatic = message.author.bot or message.webhook_id is not None or message.author.system
    return not is_automatic and message.type in ANSWERED_TYPES


def why_addressed(message: discord.Message, own: Own) -> Addressed | None:
    """Why the bot is addressed by the message itself; None if only its place can tell."""
    if message.guild is None:
        return Addressed.DIRECT
    if any(mention in message.content for mention in own.mentions):
        return Addressed.MENTION
    if is_reply_to(message, own):
        return Addressed.REPLY
    is_named = any(user.id == own.user_id for user in message.mentions)
    return Addressed.MENTION if is_named else None


def is_reply_to(message: discord.Message, own: Own) -> bool:
    """Whether it replies to a message of the bot."""
    replied = replied_to(message)
    return replied is not None and replied.author.id == own.user_id


def replied_to(message: discord.Message) -> discord.Message | None:
    """The message that it replies to, where Discord sent it along."""
    reference = message.reference
    if reference is None or reference.type is not discord.MessageReferenceType.reply:
        return None
    return reference.resolved if isinstance(reference.resolved, discord.Message) else None


def replied_to_id(message: discord.Message) -> str | None:
    """The id of the message that it replies to, also of one that Discord did not send along."""
    reference = message.reference
    if reference is None or reference.type is not discord.MessageReferenceType.reply:
        return None
    return None if reference.message_id is None else str(reference.message_id)


def text_of(message: discord.Message, own: Own) -> str:
    """What was said, in CommonMark: the bot's own mention removed, markup as words."""
    return readable(without_own_mention(message.content, own.mentions), names_in(message, own))


def names_in(message: discord.Message, own: Own) -> Names:
    """The names of who and what a message mentions."""
    guild = message.guild
    users = {user.id: user.display_name for user in message.mentions}
    roles = {role.id: role.name for role in message.role_mentions}
    if own.role_id is not None:
        roles[own.role_id] = own.name

    def channel_name(channel_id: int) -> str | None:
        channel = guild.get_channel_or_thread(channel_id) if guild is not None else None
        return channel.name if channel is not None else None

    return Names({**users, own.user_id: own.name}, roles, channel_name)


def author_of(message: discord.Message, permission: ManagerPermission) -> Author:
    """Who wrote it, and whether they manage the channel."""
    author = message.author
    return Author(
        str(author.id),
        author.display_name,
        author.bot,
        can_manage=_manages(message, permission),
        roles=roles_of(author),
    )


def roles_of(user: discord.User | discord.Member) -> tuple[str, ...]:
    """The ids of a member's roles but the one that everybody has; none outside guilds."""
    if not isinstance(user, discord.Member):
        return ()
    return tuple(str(role.id) for role in user.roles if not role.is_default())


def quoted_of(message: discord.Message, own: Own) -> Quoted | None:
    """A message as context; None where there is nothing to read in it."""
    is_own = message.author.id == own.user_id
    text = text_of(message, own)
    if is_own:
        text = without_repeated(text)
    if not text:
        return None
    author = Author(str(message.author.id), message.author.display_name, message.author.bot)
    return Quoted(author, text, is_own=is_own)


def _manages(message: discord.Message, permission: ManagerPermission) -> bool:
    author, channel = message.author, message.channel
    if message.guild is None:
        return True
    if not isinstance(author, discord.Member):
        return False
    held = author.guild_permissions
    if not isinstance(channel, discord.Thread) or channel.parent is not None:
        held = channel.permissions_for(author)
    return bool(getattr(held, permission))
