"""What a question brings along and has to be fetched: text files, and what it is a reply to.

Nothing of it is stored but the text of the asker's own files.
"""

import asyncio
import codecs
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import aiohttp
import discord

from adapters.discord.errors import discord_errors
from adapters.discord.parse import Own, quoted_of, replied_to
from adapters.discord.settings import Settings
from bot.errors import PlatformError
from bot.messages import Attachment, Quoted

MAX_REPLY_CHAIN = 5
MAX_FILES = 4
FETCH_TIMEOUT_S = 20.0

MEDIA_HOST = "media.discordapp.net"
"""Discord's second host of attachments, which its own messages link to."""

_TEXT_TYPES = frozenset(
    {"application/json", "application/xml", "application/toml", "application/yaml"}
    | {"application/javascript", "application/x-sh", "application/sql"}
)
_TEXT_SUFFIXES = frozenset(
    [
        ".c",
        ".cfg",
        ".cpp",
        ".cs",
        ".css",
        ".csv",
        ".go",
        ".h",
        ".html",
        ".ini",
        ".java",
        ".js",
        ".json",
        ".kt",
        ".log",
        ".lua",
        ".md",
        ".php",
        ".py",
        ".rb",
        ".rs",
        ".rst",
        ".sh",
        ".sql",
        ".tex",
        ".toml",
        ".ts",
        ".tsv",
        ".txt",
        ".xml",
        ".yaml",
        ".yml",
    ]
)
_BYTE_ORDER_MARKS: Mapping[bytes, str] = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

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
        if not _is_text(file) or file.size > limit or not self._is_from_discord(file.url):
            return named
        data = await self._fetch(file.url, limit)
        text = _decoded(data) if data is not None else None
        return Attachment(named.name, named.media_type, named.size_bytes, text)

    def _is_from_discord(self, url: str) -> bool:
        """Whether the address is one of Discord's hosts of attachments, or the configured one."""
        parts, ours = urlsplit(url), urlsplit(self._settings.cdn_url)
        if (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc):
            return True
        return parts.scheme == "https" and parts.netloc == MEDIA_HOST

    async def _fetch(self, url: str, limit: int) -> bytes | None:
        """The file's bytes; None where it cannot be had or is larger than it said."""
        data = bytearray()
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                self._session().get(
                    url, proxy=self._settings.proxy_url, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    return None
                async for chunk in response.content.iter_chunked(16_384):
                    data += chunk
                    if len(data) > limit:
                        return None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("a file could not be fetched: %s", type(error).__name__)
            return None
        return bytes(data)


def _named(file: discord.Attachment) -> Attachment:
    return Attachment(file.filename, _media_type(file), file.size)


def _media_type(file: discord.Attachment) -> str:
    return (file.content_type or "application/octet-stream").partition(";")[0].strip().lower()


def _is_text(file: discord.Attachment) -> bool:
    media_type = _media_type(file)
    suffix = PurePosixPath(file.filename.lower()).suffix
    return media_type.startswith("text/") or media_type in _TEXT_TYPES or suffix in _TEXT_SUFFIXES


def _decoded(data: bytes) -> str | None:
    """The text of a file; None if it is none."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return _decoded_as(data, encoding)
    return None if b"\0" in data else _decoded_as(data, "utf-8")


def _decoded_as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None
