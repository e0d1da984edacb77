"""The port of comparisons of models and the votes on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.messages import CommandInvoked
from bot.store.ports.records import StoredMessage


@dataclass(frozen=True, slots=True)
class Contender:
    """One model's answer in a comparison; with `is_error` the text says why there is none."""

    model: str
    text: str
    is_error: bool = False
    seconds: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One question to several models and their answers, in the order shown.

    Without `answers` its models have not answered yet. `is_revealed` says that a blind one has
    told its models.
    """

    message: StoredMessage
    answers: tuple[Contender, ...]
    is_blind: bool = False
    is_revealed: bool = False

    @property
    def question(self) -> str:
        """What was asked."""
        event = self.message.event
        return event.arguments["question"] if isinstance(event, CommandInvoked) else event.text

    @property
    def models(self) -> tuple[str, ...]:
        """Who answered, in the order shown."""
        return tuple(answer.model for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Vote:
    """One member's word on a comparison; `winner` is None where no answer was the best.

    `voter_id` is None once the comparison itself is no longer kept.
    """

    voter_id: str | None
    models: tuple[str, ...]
    winner: str | None
    was_blind: bool
    voted_at: datetime


class Comparisons(Protocol):
    """Comparisons of models and the votes on them."""

    async def save(self, message_id: int, answers: Sequence[Contender], *, is_blind: bool) -> None:
        """Keep the answers to a stored question; they go with it."""
        ...

    async def earlier(self, message_id: int, limit: int) -> Sequence[Round]:
        """The rounds before this stored message, oldest first, at most `limit`, the newest.

        Those of its author in its conversation, since the last reset.
        """
        ...

    async def find(self, message_id: int) -> Round | None:
        """The round of a stored message."""
        ...

    async def latest(self, message_id: int) -> Round | None:
        """The last round, whoever's, in the conversation of this stored message, before it."""
        ...

    async def vote(self, round_: Round, vote: Vote, *, reveals: bool) -> None:
        """Keep a vote, replacing its voter's earlier one on that round; tell the models if
        `reveals`."""
        ...

    async def votes(self, round_: Round | None = None) -> Sequence[Vote]:
        """The votes on one round, or all there are, in the order they were cast."""
        ...
