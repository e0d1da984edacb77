"""Where an answer goes on Discord, as a text that outlives the process."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.errors import PlatformError, TargetExpired
from bot.messages import ReplyTarget, ReplyView
from bot.platforms.handles import Handles, handle_text

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
        return handle_text(self)

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


HANDLES = Handles(Handle)
