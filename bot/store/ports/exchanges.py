"""The port of single pairs of question and answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.conversation import Turn
from bot.store.ports.records import Answer, StoredMessage


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question that was put to a model, and how it was answered: None where that failed.

    With `is_continuation` there was no question: the answer before was gone on with.
    """

    message: StoredMessage
    question: str
    answer: Answer | None
    is_continuation: bool


class Exchanges(Protocol):
    """Single pairs of question and answer."""

    async def chain(self, message: StoredMessage, limit: int) -> Sequence[Turn]:
        """The turns that a message replies to, oldest first: the answer, its question, and so on.

        At most `limit` pairs, the newest, of those that `History.turns` could give, whenever they
        ended.
        """
        ...

    async def last(self, before: int) -> Exchange | None:
        """The last exchange of the same member, in the same conversation, since its last reset.

        `before` is the id of a stored message that came later. What was withdrawn or undone does
        not count.
        """
        ...

    async def get(self, message_id: int) -> StoredMessage | None:
        """A stored message by its own id."""
        ...

    async def undo(self, message_id: int) -> bool:
        """Take an ended exchange out of the context; False if there is none with that id."""
        ...

    async def speeds(self) -> Mapping[str, float]:
        """Each model's median speed over its latest answers, in tokens a second."""
        ...
