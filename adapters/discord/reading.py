"""What a question brings along and has to be fetched: text files, and what it is a reply to.

Nothing of it is stored but the text of the asker's own files.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import aiohttp
import discord

from adapters.discord.errors import discord_errors
from adapters.discord.parse import Own, quoted_of, replied_to
from adapters.discord.settings import Settings
from bot.errors import PlatformError
from bot.messages import Attachment, Quoted
from bot.platforms.text_files import collected, decoded, is_text, media_type_of

MAX_REPLY_CHAIN = 5
MAX_FILES = 4
FETCH_TIMEOUT_S = 20.0

MEDIA_HOST = "media.discordapp.net"
"""Discord's second host of attachments, which its own messages link to."""

log = logging.getLogger(__name__)


class Reader:
    """Reads a question's files and what it quotes. `session` is asked for when one is needed."""

    def __init__(self, settings: Settings, session: Callable[[], aiohttp.ClientSession]) -> None:
        self._settings = settings
        self._session = session

    async def attachments(self, message: discord.Message) -> tuple[Attachment, ...]:
        """The message's files, those that are text with their text."""
        files = message.attachments
        read = [await self._read(file) for file in files[:MAX_FILES]]
        return (*read, *(_named(file) for file in files[MAX_FILES:]))

    async def quoted(
        self, message: discord.Message, own: Own, *, is_first_in_thread: bool
    ) -> tuple[Quoted, ...]:
        """What the message is about, oldest first: the replied-to chain, or the thread so far."""
        try:
            with discord_errors("reading what a question is about"):
                chain = [one async for one in self._chain(message, own)][::-1]
                if not chain and is_first_in_thread:
                    chain = await self._before(message)
        except PlatformError as error:
            log.info("%s", error)
            return ()
        return tuple(one for one in (quoted_of(part, own) for part in chain) if one is not None)

    async def _chain(self, message: discord.Message, own: Own) -> AsyncIterator[discord.Message]:
        """The message replied to, the one that replies to, and so on.

        It ends at a message of the bot: what led to that is in the conversation's own context.
        """
        replied = replied_to(message)
        for _ in range(MAX_REPLY_CHAIN):
            if replied is None:
                return
            yield replied
            reference = replied.reference
            if replied.author.id == own.user_id or reference is None:
                return
            known = replied_to(replied)
            if known is None and reference.message_id is not None:
                known = await replied.channel.fetch_message(reference.message_id)
            replied = known

    async def _before(self, message: discord.Message) -> list[discord.Message]:
        """The messages before this one, oldest first; of more than that many the latest."""
        limit = self._settings.max_quoted
        if limit == 0:
            return []
        latest_first = [one async for one in message.channel.history(limit=limit, before=message)]
        return latest_first[::-1]

    async def _read(self, file: discord.Attachment) -> Attachment:
        named = _named(file)
        limit = self._settings.max_attachment_bytes
        if (
            not is_text(named.name, named.media_type)
            or file.size > limit
            or not self._is_from_discord(file.url)
        ):
            return named
        data = await self._fetch(file.url, limit)
        text = decoded(data) if data is not None else None
        return Attachment(named.name, named.media_type, named.size_bytes, text)

    def _is_from_discord(self, url: str) -> bool:
        """Whether the address is one of Discord's hosts of attachments, or the configured one."""
        parts, ours = urlsplit(url), urlsplit(self._settings.cdn_url)
        if (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc):
            return True
        return parts.scheme == "https" and parts.netloc == MEDIA_HOST

    async def _fetch(self, url: str, limit: int) -> bytes | None:
        """The file's bytes; None where it cannot be had or is larger than it said."""
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                self._session().get(
                    url, proxy=self._settings.proxy_url, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    return None
                return await collected(response.content.iter_chunked(16_384), limit)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("a file could not be fetched: %s", type(error).__name__)
            return None


def _named(file: discord.Attachment) -> Attachment:
    return Attachment(file.filename, media_type_of(file.content_type), file.size)
