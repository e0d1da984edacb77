"""What a loopback platform was made to show, write by write: all that an auditor reads of it."""

from dataclasses import dataclass
from enum import StrEnum


class Change(StrEnum):
    """What a write did to a message."""

    POSTED = "posted"
    EDITED = "edited"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Written:
    """One write of the bot that took effect.

    `at` is the server's monotonic time and `text` all that the message shows from then on. `place`
    is the channel, with the thread where there is one; `answers` is the id of the question that
    the message says it is for.
    """

    at: float
    change: Change
    message_id: str
    place: str
    text: str
    answers: str | None = None
    is_private: bool = False
