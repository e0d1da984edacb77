"""Pictures that go with answers: uploaded, and shared in the thread of their answer.

Slack's three steps: `files.getUploadURLExternal`, the bytes, `files.completeUploadExternal`. An
answer says all that its picture shows, so that one that cannot be shared is left out.
"""

import logging
from collections import OrderedDict

from adapters.slack.handle import Handle
from adapters.slack.web_api import WebApi
from bot.errors import PlatformError
from bot.messages import Picture, ReplyView

MAX_REMEMBERED = 500
MAX_ALT_CHARS = 1000

log = logging.getLogger(__name__)


class Pictures:
    """Shares pictures; a later one of the same answer takes the place of the one before."""

    def __init__(self, api: WebApi) -> None:
        self._api = api
        self._shared: OrderedDict[str, tuple[str, Picture]] = OrderedDict()

    async def share(self, handle: Handle, ts: str, view: ReplyView) -> None:
        """Share the picture of a message that is shown; what is for one person alone has none."""
        picture = view.picture
        if picture is None or view.is_private or handle.is_home:
            return
        file_id, known = self._shared.get(ts, ("", None))
        if known == picture:
            return
        try:
            if file_id:
                await self._api.call("files.delete", file=file_id)
            self._shared[ts] = (await self._upload(handle, ts, picture), picture)
        except PlatformError as error:
            log.info("an answer goes without its picture: %s", error)
            return
        if len(self._shared) > MAX_REMEMBERED:
            self._shared.popitem(last=False)

    async def _upload(self, handle: Handle, ts: str, picture: Picture) -> str:
        """The id of the file."""
        place = await self._api.call(
            "files.getUploadURLExternal",
            filename=picture.name,
            length=len(picture.png),
            alt_txt=picture.description[:MAX_ALT_CHARS],
        )
        await self._api.upload(str(place["upload_url"]), picture.png)
        file_id = str(place["file_id"])
        await self._api.call(
            "files.completeUploadExternal",
            files=[{"id": file_id, "title": picture.description[:MAX_ALT_CHARS]}],
            channel_id=handle.channel_id,
            thread_ts=handle.thread_ts or ts,
        )
        return file_id
