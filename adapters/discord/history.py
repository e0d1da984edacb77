"""Reading what was said in a channel, live: for commands that sum it up. Nothing is stored."""

import re
from collections.abc import Sequence
from datetime import datetime

import discord
from typing_extensions import override

from adapters.discord.errors import discord_errors
from adapters.discord.parse import ANSWERED_TYPES, Own, own_in, text_of
from bot.errors import MessageGone
from bot.messages import Author, ConversationRef, MessageReader, PastMessage

_ID = re.compile(r"[0-9]{1,19}")


class ChannelHistory(MessageReader):
    """The messages of the channels that the bot may read."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    @override
    async def recent(
        self,
        conversation: ConversationRef,
        limit: int,
        since: datetime | None = None,
        since_id: str | None = None,
    ) -> Sequence[PastMessage]:
        """The latest messages there, oldest first; what members wrote, and bots."""
        channel_id = int(conversation.thread_id or conversation.channel_id)
        known = self._client.get_channel(channel_id)
        partial = self._client.get_partial_messageable(channel_id)
        channel = known if isinstance(known, discord.abc.Messageable) else partial
        after = _after(since, since_id)
        with discord_errors("reading what was said"):
            latest_first = [
                one async for one in channel.history(limit=limit, after=after, oldest_first=False)
            ]
        is_in_guild = isinstance(known, discord.abc.GuildChannel | discord.Thread)
        own = own_in(self._client, known.guild if is_in_guild else None)
        return [
            _past(one, own)
            for one in reversed(latest_first)
            if one.type in ANSWERED_TYPES and not one.flags.loading
        ]


def _after(since: datetime | None, since_id: str | None) -> discord.Object | datetime | None:
    """What comes just before the first message that is meant: ids grow with time."""
    if since_id is None:
        return since
    if not _ID.fullmatch(since_id):
        raise MessageGone("that is no message of Discord")
    return discord.Object(max(int(since_id) - 1, 0))


def _past(message: discord.Message, own: Own) -> PastMessage:
    author = message.author
    return PastMessage(
        str(message.id),
        Author(str(author.id), author.display_name, author.bot),
        text_of(message, own),
        message.created_at,
        message.jump_url,
        is_own=author.id == own.user_id,
    )
