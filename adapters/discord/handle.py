"""Where an answer goes on Discord, as a text that outlives the process."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from bot.errors import PlatformError, TargetExpired
from bot.messages import ReplyTarget, ReplyView

TOKEN_LIFE = timedelta(minutes=14, seconds=30)
"""An interaction's token lives 15 minutes; what is begun before this ends in time."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A channel and the message in it that is answered; with `token` an interaction's response.

    `question_id` is the message or the interaction, `original_id` the deferred response.
    """

    channel_id: int
    question_id: int
    asker_id: int
    is_message: bool = True
    token: str | None = None
    original_id: int | None = None
    is_private: bool = False

    def target(self, since: datetime) -> ReplyTarget:
        """The reply target; an interaction's expires, and falls back to the channel."""
        if self.token is None:
            return ReplyTarget(self.text())
        without = replace(self, token=None, original_id=None)
        return ReplyTarget(self.text(), since + TOKEN_LIFE, without.text())

    def text(self) -> str:
        """The handle as it is kept."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def refuse_private(self, view: ReplyView) -> None:
        """Raises `TargetExpired` rather than show in a channel what is for one person alone."""
        if view.is_private and not self.is_message and self.token is None:
            raise TargetExpired("a private answer came after its interaction had ended")


def channel_target(channel_id: str) -> ReplyTarget:
    """A target for what answers nobody. Raises `PlatformError` for what is no id."""
    if not channel_id.isdecimal():
        raise PlatformError("that is no channel of Discord")
    handle = Handle(int(channel_id), question_id=0, asker_id=0, is_message=False)
    return ReplyTarget(handle.text())


def handle_of(target: ReplyTarget, now: datetime) -> Handle:
    """The handle to use now: the fallback once the target has expired."""
    is_over = target.expires_at is not None and now >= target.expires_at
    return fallback_of(target) if is_over else _parse(target.handle)


def fallback_of(target: ReplyTarget) -> Handle:
    """The handle to use after the target's own. Raises `TargetExpired` where there is none."""
    if target.fallback is None:
        raise TargetExpired("an answer came after its interaction had ended")
    return _parse(target.fallback)


def _parse(text: str) -> Handle:
    return Handle(**json.loads(text))
