"""The port of what is shown of finished answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.store.ports.records import Answer, ReplyPart, StoredMessage


@dataclass(frozen=True, slots=True)
class ShownReply:
    """A model's finished answer to a message, and the messages that show it."""

    message: StoredMessage
    answer: Answer
    parts: tuple[ReplyPart, ...]
    finished_at: datetime


class Replies(Protocol):
    """What is shown of finished answers."""

    async def to(self, account: str, message_id: str) -> ShownReply | None:
        """A model's answer to a message, by the platform's id; None while there is none."""
        ...

    async def before(self, later: StoredMessage) -> ShownReply | None:
        """The model's last answer to the same member in the same conversation before a message."""
        ...

    async def seen_before(self, later: StoredMessage) -> ShownReply | None:
        """The model's last answer in the same conversation before a message, whoever asked.

        Private ones that another member got are passed over.
        """
        ...

    async def posted(self, message: StoredMessage) -> Sequence[ReplyPart]:
        """What was posted of the last attempt at an answer, finished or not."""
        ...
