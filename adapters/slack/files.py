"""Files that go with answers: pictures in the thread of their answer, texts before it is shown.

Slack's three steps: `files.getUploadURLExternal`, the bytes, `files.completeUploadExternal`. An
answer says all that its picture shows, so that one that cannot be shared is left out. A text is
what was asked for: where it cannot be sent, the answer says so and shows its beginning.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from adapters.slack.errors import EXPLAINED, SlackRefusalError
from adapters.slack.handle import Handle
from adapters.slack.render import MAX_CHARS, length
from adapters.slack.web_api import WebApi
from bot.errors import PlatformError
from bot.messages import Picture, ReplyView, TextFile
from bot.reply.markdown import fenced, split
from bot.translations import gettext as _

MAX_REMEMBERED = 500
MAX_ALT_CHARS = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Upload:
    """What is uploaded, and what is said of it: the text that stands for a picture."""

    name: str
    data: bytes
    title: str
    alt: str | None = None


class Files:
    """Shares the files of answers; a later picture takes the place of the one before."""

    def __init__(self, api: WebApi) -> None:
        self._api = api
        self._pictures: OrderedDict[str, tuple[str, Picture]] = OrderedDict()
        self._texts: OrderedDict[str, str | PlatformError] = OrderedDict()

    async def share_picture(self, handle: Handle, ts: str, view: ReplyView) -> None:
        """Share the picture of a message that is shown; what is for one person alone has none."""
        picture = view.picture
        if picture is None or view.is_private or handle.is_home:
            return
        file_id, known = self._pictures.get(ts, ("", None))
        if known == picture:
            return
        alt = picture.description[:MAX_ALT_CHARS]
        upload = _Upload(picture.name, picture.png, alt, alt)
        try:
            if file_id:
                await self._api.call("files.delete", file=file_id)
            thread_ts = handle.thread_ts or ts
            shared = await self._upload(upload, handle.channel_id, thread_ts)
            self._pictures[ts] = (shared, picture)
        except PlatformError as error:
            log.info("an answer goes without its picture: %s", error)
            return
        _bound(self._pictures)

    async def with_file(self, handle: Handle, view: ReplyView) -> ReplyView:
        """Send the text file of an answer that is about to be shown, and say where it is.

        What is for one person alone is sent to their direct messages: a file in a channel is
        everybody's.
        """
        file = view.file
        if file is None or not view.is_complete:
            return view
        if handle.question_id not in self._texts:
            self._texts[handle.question_id] = await self._sent(handle, view, file)
            _bound(self._texts)
        sent = self._texts[handle.question_id]
        if isinstance(sent, PlatformError):
            sent = _instead(file, sent, MAX_CHARS - length(view.text))
        text = f"{view.text}\n\n{sent}"
        return replace(view, text=text, stable_chars=len(text))

    async def _sent(self, handle: Handle, view: ReplyView, file: TextFile) -> str | PlatformError:
        """Where the file is now, or why it is not there."""
        is_elsewhere = view.is_private and not handle.is_direct
        try:
            channel_id = await self._direct(handle) if is_elsewhere else handle.channel_id
            thread_ts = None if is_elsewhere else handle.thread_ts
            upload = _Upload(file.name, file.text.encode(), file.name)
            await self._upload(upload, channel_id, thread_ts)
        except PlatformError as error:
            log.warning("a file could not be sent: %s", error)
            return error
        if is_elsewhere:
            return _("The file `{name}` is in our direct messages.").format(name=file.name)
        return _("It is in the file `{name}`.").format(name=file.name)

    async def _direct(self, handle: Handle) -> str:
        """The asker's direct conversation with the bot."""
        answer = await self._api.call("conversations.open", users=handle.asker_id)
        return str(cast("Mapping[str, Any]", answer["channel"])["id"])

    async def _upload(self, upload: _Upload, channel_id: str, thread_ts: str | None) -> str:
        """The id of the file."""
        place = await self._api.call(
            "files.getUploadURLExternal",
            filename=upload.name,
            length=len(upload.data),
            alt_txt=upload.alt,
        )
        await self._api.upload(str(place["upload_url"]), upload.data)
        file_id = str(place["file_id"])
        await self._api.call(
            "files.completeUploadExternal",
            files=[{"id": file_id, "title": upload.title}],
            channel_id=channel_id,
            thread_ts=thread_ts,
        )
        return file_id


def _instead(file: TextFile, error: PlatformError, room: int) -> str:
    """Why a file is missing, and as much of it as one message holds."""
    why = EXPLAINED.get(error.code) if isinstance(error, SlackRefusalError) else None
    told = _("I could not send you `{name}` as a file: {why}. It begins so:").format(
        name=file.name, why=why or _("Slack did not take it; please try again later")
    )
    limit = max(0, room - length(told) - 100)
    # Cut first: splitting measures all that follows again and again.
    begun = split(fenced(file.text[:limit]), limit, length)[0].text if limit > 100 else ""
    return f"{told}\n{begun}".strip()


def _bound(remembered: OrderedDict[str, Any]) -> None:
    if len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)
