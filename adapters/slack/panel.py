"""The assistant panel: a greeting, what could be asked, and a title for each of its threads."""

import logging
from collections import OrderedDict
from typing import cast

from adapters.slack.own_messages import notice_metadata
from adapters.slack.parse import Json, Own, Post
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.translations import gettext as _

MAX_TITLE = 60
MAX_REMEMBERED = 1000

log = logging.getLogger(__name__)


class Panel:
    """What the bot does in the panel beside answering. Raises `PlatformError`."""

    def __init__(self, api: WebApi, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._greeted: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def opened(self, body: Json, own: Own) -> None:
        """Somebody opened a new thread in the panel."""
        del own
        thread = cast("Json", body["event"]["assistant_thread"])
        place = (str(thread["channel_id"]), str(thread["thread_ts"]))
        if place in self._greeted:
            return
        self._greeted[place] = None
        if len(self._greeted) > MAX_REMEMBERED:
            self._greeted.popitem(last=False)
        channel_id, thread_ts = place
        await self._api.call(
            "chat.postMessage",
            channel=channel_id,
            thread_ts=thread_ts,
            text=_("Hello! What would you like to know?"),
            metadata=notice_metadata(),
        )
        if prompts := self._settings.suggested_prompts:
            await self._api.call(
                "assistant.threads.setSuggestedPrompts",
                channel_id=channel_id,
                thread_ts=thread_ts,
                prompts=[{"title": prompt, "message": prompt} for prompt in prompts],
            )

    async def began(self, post: Post, text: str) -> None:
        """The first message of a thread in the panel: it gives the thread its title."""
        title = " ".join(text.split())
        if not title:
            return
        shown = title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…"
        await self._api.call(
            "assistant.threads.setTitle",
            channel_id=post.channel_id,
            thread_ts=post.thread_ts,
            title=shown,
        )
