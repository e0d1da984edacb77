"""Where an answer goes on Slack, as a text that outlives the process."""

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from bot.errors import PlatformError, TargetExpired
from bot.messages import ReplyTarget

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
        return json.dumps(asdict(self), separators=(",", ":"))


def channel_target(channel_id: str) -> ReplyTarget:
    """A target for what answers nobody. Raises `PlatformError` for what is no id."""
    if not re.fullmatch(r"[CGD][A-Z0-9]{2,}", channel_id):
        raise PlatformError("that is no channel of Slack")
    return ReplyTarget(Handle(channel_id, "", "", "", "").text())


def handle_of(target: ReplyTarget, now: datetime) -> Handle:
    """The handle to use now: the fallback once the target has expired."""
    is_over = target.expires_at is not None and now >= target.expires_at
    return fallback_of(target) if is_over else _parse(target.handle)


def fallback_of(target: ReplyTarget) -> Handle:
    """The handle to use after the target's own. Raises `TargetExpired` where there is none."""
    if target.fallback is None:
        raise TargetExpired("an answer came after its command had ended")
    return _parse(target.fallback)


def _parse(text: str) -> Handle:
    return Handle(**json.loads(text))
