"""Answers that are seen by one person alone, and answers where the bot is no member.

They go through the `response_url` of a command (five posts in half an hour), or, private ones, as
ephemeral messages. Slack gives neither an id, and neither can be changed.
"""

import logging
from collections import Counter, OrderedDict
from typing import Any

from adapters.slack.handle import Handle
from adapters.slack.render import blocks, notification
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.errors import TargetExpired
from bot.messages import ReplyView

PREFIX = "response:"
MAX_POSTS = 5
MAX_REMEMBERED = 1000

log = logging.getLogger(__name__)


def is_response(message_id: str) -> bool:
    """Whether an id names such an answer."""
    return message_id.startswith(PREFIX)


class Responses:
    """Posts such answers; what is still growing waits until it is whole."""

    def __init__(self, api: WebApi, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._posts: Counter[str] = Counter()
        self._said: OrderedDict[str, str] = OrderedDict()

    async def post(self, handle: Handle, view: ReplyView, key: str) -> str:
        """Show it if it is whole, and return an id for it."""
        message_id = f"{PREFIX}{key}"
        await self.edit(handle, message_id, view)
        return message_id

    async def edit(self, handle: Handle, message_id: str, view: ReplyView | None) -> None:
        """Show it now if it has become whole; what was shown stays as it is."""
        if view is None or not view.is_complete or message_id in self._said:
            return
        if handle.response_url is not None:
            await self._respond(handle, handle.response_url, view)
        elif view.is_private:
            await self._whisper(handle, view)
        else:
            raise TargetExpired("an answer came after its command had ended")
        self._said[message_id] = ""
        if len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)

    async def _respond(self, handle: Handle, response_url: str, view: ReplyView) -> None:
        if self._posts[response_url] >= MAX_POSTS:
            raise TargetExpired("a command's response takes five messages")
        self._posts[response_url] += 1
        if len(self._posts) > MAX_REMEMBERED:
            del self._posts[next(iter(self._posts))]
        kind = "ephemeral" if view.is_private else "in_channel"
        body: dict[str, Any] = {"response_type": kind, "replace_original": False}
        if handle.thread_ts is not None:
            body["thread_ts"] = handle.thread_ts
        await self._api.respond(response_url, body | self._content(handle, view))

    async def _whisper(self, handle: Handle, view: ReplyView) -> None:
        await self._api.call(
            "chat.postEphemeral",
            channel=handle.channel_id,
            user=handle.asker_id,
            thread_ts=handle.thread_ts,
            **self._content(handle, view),
        )

    def _content(self, handle: Handle, view: ReplyView) -> dict[str, Any]:
        return {"text": notification(view), "blocks": blocks(view, handle, self._settings)}
