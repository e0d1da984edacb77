"""What is stored of messages and of the answers to them."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from bot.messages import Action, Answerable, Figures, IncomingMessage, Quoted


class MessageState(StrEnum):
    """Where a message stands."""

    RECEIVED = "received"
    ANSWERED = "answered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    HEARD = "heard"
    UNDONE = "undone"


class ReplyState(StrEnum):
    """Where one attempt at an answer stands. An interrupted one died in company, by whomever."""

    ANSWERING = "answering"
    ANSWERED = "answered"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An event that is to be answered exactly once; `id` grows with arrival.

    One that `is_suspect` was being answered when a process died: it is answered alone.
    """

    id: int
    account: str
    event: Answerable
    received_at: datetime
    is_suspect: bool = False

    def with_quoted(self, quoted: tuple[Quoted, ...]) -> "StoredMessage":
        """The message with what it quotes: live context, which the store does not keep."""
        if not isinstance(self.event, IncomingMessage):
            return self
        return replace(self, event=replace(self.event, quoted=quoted))


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """One posted message of a reply; `key` is what it was posted with."""

    index: int
    platform_id: str
    key: str


REPEATED_ITSELF = "repetition"
"""The finish reason of an answer that was stopped because it only repeated itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer and how it came about, before it is wholly delivered.

    `asked` is the question that a command put to the model, "" where it went on with the answer
    before; None where the message itself is the question, or no model was asked.
    `text` is what was said and becomes context; `notice` is a word of ours that is shown after it
    ("Stopped.") and is not. `actions` are the buttons under it.
    """

    text: str
    model: str | None = None
    finish_reason: str | None = None
    generated_tokens: int = 0
    is_error: bool = False
    is_private: bool = False
    notice: str | None = None
    footer: str | None = None
    seconds: float | None = None
    tokens_per_s: float | None = None
    actions: tuple[Action, ...] = ()
    asked: str | None = None

    @property
    def figures(self) -> Figures | None:
        """How it came about, where a model said it."""
        if self.model is None or self.seconds is None:
            return None
        return Figures(self.model, self.seconds, self.tokens_per_s)

    @property
    def shown(self) -> str:
        """The whole text to show."""
        return "\n\n".join(part for part in (self.text, self.notice) if part)
