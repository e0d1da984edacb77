"""The port of what members think of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bot.store.ports.records import StoredMessage


class Rating(StrEnum):
    """What a member thinks of an answer."""

    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Feedback:
    """A question, its answer and what who asked thought of it, kept because they agreed."""

    model: str
    question: str
    answer: str
    rating: Rating
    kept_at: datetime


class Ratings(Protocol):
    """What members think of answers; words are kept with it only where who said them agreed."""

    async def rate(
        self, account: str, message_id: str, rater_id: str, rating: Rating, now: datetime
    ) -> bool:
        """Rate the answer to a question, replacing the member's earlier rating of it.

        `message_id` is the platform's. False if the question is not there any more. A rating goes
        with its question.
        """
        ...

    async def of(self, account: str, message_id: str) -> Mapping[str, Rating]:
        """All ratings of the answer to a question, by the member's id."""
        ...

    async def keep(self, asked: StoredMessage, now: datetime) -> bool:
        """Keep a question and a model's present answer with its author's rating.

        It outlives the message, and follows a later rating of it. False without an answer or a
        rating. It goes when the question is withdrawn, or the bot is removed from there.
        """
        ...

    async def kept(self) -> Sequence[Feedback]:
        """All that was kept, in the order it was."""
        ...
