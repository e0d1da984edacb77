"""A typed line becomes an inbound event."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from adapters.console.safe_text import clean
from bot.command import CommandRegistry
from bot.messages import (
    Action,
    ActionInvoked,
    Addressed,
    Author,
    CommandInvoked,
    ConversationRef,
    IncomingMessage,
    ReplyTarget,
)

QUIT_WORDS = frozenset({"quit", "exit", "/quit", "/exit"})


def is_quit(line: str) -> bool:
    """Whether the line asks to leave."""
    return clean(line).strip().lower() in QUIT_WORDS


@dataclass(frozen=True, slots=True)
class Seat:
    """Who sits at this terminal, and the conversation it is."""

    author: Author
    conversation: ConversationRef


class LineParser:
    """Turns lines into events of one conversation, with ids that count from 1."""

    def __init__(self, commands: CommandRegistry, seat: Seat, now: Callable[[], datetime]) -> None:
        self._commands = commands
        self._seat = seat
        self._now = now
        self._ids: Iterator[int] = count(1)

    def parse(self, line: str) -> IncomingMessage | CommandInvoked | None:
        """The event of a line; None if nothing is left of it without control characters.

        A line that begins with "/" is a command. Raises `UsageError` if there is no such command.
        """
        text = clean(line).strip()
        if not text:
            return None
        return self._command(text) if text.startswith("/") else self._message(text)

    def stop(self, event: IncomingMessage | CommandInvoked) -> ActionInvoked:
        """The wish to stop the answer to an event."""
        return ActionInvoked(
            self._next_id(), self._seat.conversation, self._seat.author, Action.STOP, event.id
        )

    def _message(self, text: str) -> IncomingMessage:
        id_ = self._next_id()
        return IncomingMessage(
            id=id_,
            conversation=self._seat.conversation,
            author=self._seat.author,
            text=text,
            addressed=Addressed.DIRECT,
            sent_at=self._now(),
            target=ReplyTarget(id_),
        )

    def _command(self, text: str) -> CommandInvoked:
        parsed = self._commands.parse(text)
        id_ = self._next_id()
        return CommandInvoked(
            id=id_,
            conversation=self._seat.conversation,
            author=self._seat.author,
            name=parsed.name,
            arguments=parsed.arguments,
            sent_at=self._now(),
            target=ReplyTarget(id_),
        )

    def _next_id(self) -> str:
        return str(next(self._ids))
