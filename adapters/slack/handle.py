"""Where an answer goes on Slack, as a text that outlives the process."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.errors import PlatformError
from bot.messages import ReplyTarget
from bot.platforms.handles import Handles, handle_text

RESPONSE_LIFE = timedelta(minutes=29)
"""A `response_url` lives 30 minutes; what is begun before this ends in time."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A channel and the question in it.

    `question_id` is what the core knows it by, `asked_ts` when it was asked in Slack's time, and
    `thread_ts` the thread that the answer goes to. `team_id` is the asker's workspace. A command
    and a button have a `response_url`; `is_home` is the asker's App Home.
    """

    channel_id: str
    question_id: str
    asked_ts: str
    asker_id: str
    team_id: str
    thread_ts: str | None = None
    is_direct: bool = False
    response_url: str | None = None
    is_home: bool = False

    def target(self, since: datetime) -> ReplyTarget:
        """The reply target; one with a `response_url` expires, and falls back to the channel."""
        if self.response_url is None:
            return ReplyTarget(self.text())
        without = replace(self, response_url=None)
        return ReplyTarget(self.text(), since + RESPONSE_LIFE, without.text())

    def text(self) -> str:
        """The handle as it is kept."""
        return handle_text(self)


def channel_target(channel_id: str) -> ReplyTarget:
    """A target for what answers nobody. Raises `PlatformError` for what is no id."""
    if not re.fullmatch(r"[CGD][A-Z0-9]{2,}", channel_id):
        raise PlatformError("that is no channel of Slack")
    return ReplyTarget(Handle(channel_id, "", "", "", "").text())


HANDLES = Handles(Handle)
