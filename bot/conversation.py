"""Turns of a conversation, their keys, and which turns to drop (pure: it counts nothing itself)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Role(StrEnum):
    """Who speaks in a turn, in the chat templates' terms."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn; `author` is the name of the member who said it, None for the bot and system."""

    role: Role
    text: str
    author: str | None = None


KEEP_SHARE = 0.6
"""On overflow the oldest turns go until the rest fills at most this share of the window, so that
the cached prefix survives the next turns (architecture.md, "The engine's edge")."""


def is_within(key: str, conversation_key: str) -> bool:
    """Whether a key is a conversation's, or of one below it."""
    return key == conversation_key or key.startswith(f"{conversation_key}/")


def name_speakers(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Put each member's name before their words where more than one member speaks."""
    names = {turn.author for turn in turns if turn.role is Role.USER and turn.author}
    if len(names) < 2:
        return tuple(turns)
    return tuple(
        replace(turn, text=f"{turn.author}: {turn.text}") if turn.author else turn for turn in turns
    )


def turns_to_drop(token_counts: Sequence[int], budget: int, keep_share: float = KEEP_SHARE) -> int:
    """How many of the oldest turns to drop so that the rest fits into `budget` tokens.

    `token_counts` holds the tokens of each turn, oldest first, without the system prompt. Nothing
    is dropped while all fit; else as many as bring the rest down to `keep_share * budget`. The
    last turn, the question, always stays, even where it alone is over the budget.
    """
    total = sum(token_counts)
    if total <= budget:
        return 0
    dropped = 0
    while dropped < len(token_counts) - 1 and total > keep_share * budget:
        total -= token_counts[dropped]
        dropped += 1
    return dropped
