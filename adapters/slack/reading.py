"""What a question brings along and has to be fetched: text files, and the thread so far.

Nothing of it is stored but the text of the asker's own files.
"""

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp

from adapters.slack.history import latest_messages
from adapters.slack.parse import Json, Own, Post
from adapters.slack.people import People
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.errors import PlatformError
from bot.messages import Attachment, Author, Quoted
from bot.platforms.text_files import collected, decoded, is_text, media_type_of
from bot.reply.heading import without_repeated

MAX_FILES = 4
FETCH_TIMEOUT_S = 1.5
QUOTED_TIMEOUT_S = 1.5
"""An event has to be acknowledged within 3 s; what takes longer is answered without."""

log = logging.getLogger(__name__)


class Reader:
    """Reads a question's files and the thread that it stands in."""

    def __init__(self, api: WebApi, people: People, settings: Settings) -> None:
        self._api = api
        self._people = people
        self._settings = settings

    async def attachments(self, files: Sequence[Json]) -> tuple[Attachment, ...]:
        """A message's files, those that are text with their text."""
        read = await asyncio.gather(*(self._read(file) for file in files[:MAX_FILES]))
        return (*read, *(_named(file) for file in files[MAX_FILES:]))

    async def quoted(self, post: Post, own: Own) -> tuple[Quoted, ...]:
        """The messages of its thread, or else its channel, before it, oldest first.

        Of more than the configured number the latest.
        """
        limit = self._settings.max_quoted
        if limit == 0:
            return ()
        try:
            async with asyncio.timeout(QUOTED_TIMEOUT_S):
                messages = await latest_messages(
                    self._api, post.channel_id, post.thread_ts, limit, latest=post.ts
                )
                quoted = [await self._quote(message, own) for message in messages]
                return tuple(one for one in quoted if one is not None)
        except (PlatformError, TimeoutError) as error:
            log.info("a thread could not be read: %s", error or type(error).__name__)
            return ()

    async def _quote(self, message: Json, own: Own) -> Quoted | None:
        text = await self._people.readable(str(message.get("text") or ""), own)
        if not text.strip():
            return None
        user_id = str(message.get("user") or message.get("bot_id") or "")
        if user_id == own.user_id or message.get("bot_id") == own.bot_id:
            said = without_repeated(text)
            return Quoted(Author(own.user_id, own.name, is_bot=True), said, is_own=True)
        name = message.get("username")
        person = None if name else await self._people.person(user_id)
        shown = str(name or (person.name if person is not None else "someone"))
        return Quoted(Author(user_id, shown, is_bot=bool(message.get("bot_id"))), text)

    async def _read(self, file: Json) -> Attachment:
        named = _named(file)
        limit = self._settings.max_attachment_bytes
        url = str(file.get("url_private_download") or file.get("url_private") or "")
        is_readable = is_text(named.name, named.media_type) and named.size_bytes <= limit
        if not is_readable or not self._is_from_slack(url):
            return named
        data = await self._fetch(url, limit)
        text = decoded(data) if data is not None else None
        return Attachment(named.name, named.media_type, named.size_bytes, text)

    def _is_from_slack(self, url: str) -> bool:
        """Whether the address is on the host of Slack's files: it is asked with the bot's token."""
        parts, ours = urlsplit(url), urlsplit(self._settings.files_url)
        return (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc)

    async def _fetch(self, url: str, limit: int) -> bytes | None:
        """The file's bytes; None where it cannot be had or is larger than it said."""
        headers = {"Authorization": f"Bearer {self._settings.require_bot_token()}"}
        proxy = self._settings.proxy_url
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT_S),
                self._api.session.get(
                    url, headers=headers, proxy=proxy, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    return None
                return await collected(response.content.iter_chunked(16_384), limit)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("a file could not be fetched: %s", type(error).__name__)
            return None


def _named(file: Json) -> Attachment:
    size = file.get("size")
    return Attachment(
        str(file.get("name") or file.get("title") or "file"),
        media_type_of(file.get("mimetype")),
        size if isinstance(size, int) else 0,
    )
