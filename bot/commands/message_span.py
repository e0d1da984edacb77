"""Which messages a member means, and pieces of a conversation that fit a window (pure)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.command import MESSAGE_PREFIX
from bot.errors import UsageError
from bot.messages import PastMessage
from bot.translations import gettext as _

DEFAULT_MESSAGES = 50
MAX_MESSAGES = 300
"""How many messages are read at most."""

MAX_PIECE_MESSAGES = 10
"""A piece of more messages would give one point for many sources."""

MINE, THREAD = "mine", "thread"
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_MESSAGE = re.compile(rf"{MESSAGE_PREFIX}[\w:.-]{{1,64}}")
_WORD = re.compile(r"\w{3,}")


@dataclass(frozen=True, slots=True)
class Span:
    """The messages that are meant: the latest `count`, those since a time or a message, or those
    since the member's own last one."""

    count: int = MAX_MESSAGES
    since: datetime | None = None
    since_id: str | None = None
    is_since_mine: bool = False


def span(text: str | None, now: datetime, *, is_in_thread: bool) -> Span:
    """Read what a member wrote. Raises `UsageError` that says what can be written."""
    words = [word for word in (text or "").lower().split() if word not in ("since", "last", "the")]
    wanted = " ".join(words)
    if not wanted:
        return Span() if is_in_thread else Span(DEFAULT_MESSAGES)
    if wanted == MINE:
        return Span(is_since_mine=True)
    if wanted == THREAD:
        if is_in_thread:
            return Span()
        raise UsageError(_("This is no thread. Write the command in one, or give a number."))
    if _MESSAGE.fullmatch(wanted):
        return Span(since_id=wanted.removeprefix(MESSAGE_PREFIX))
    if wanted.isdecimal():
        return Span(_count(wanted))
    return Span(since=_time(wanted, now))


def _count(text: str) -> int:
    count = int(text[:9])
    if not 1 <= count <= MAX_MESSAGES:
        problem = _("WHAT takes a number of messages from 1 to {most}, not {count}.")
        raise UsageError(problem.format(most=MAX_MESSAGES, count=text[:20]))
    return count


def _time(text: str, now: datetime) -> datetime:
    """A time before `now`: "30m", "2h", "3d", "14:30" or "2026-01-31 14:30", in UTC."""
    if (ago := re.fullmatch(r"(\d{1,4}) ?([mhd])", text)) is not None:
        return now - int(ago[1]) * _UNITS[ago[2]]
    if (clock := re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)) is not None:
        today = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return today if today <= now else today - timedelta(days=1)
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        problem = _(
            "I do not understand WHAT. Give a number of messages (50), a time in UTC (2h, 14:30,"
            " 2026-01-31), `mine` for since your own last message, or `thread`."
        )
        raise UsageError(problem) from None
    since = given if given.tzinfo else given.replace(tzinfo=UTC)
    if since > now:
        raise UsageError(_("That time is still to come. Times are in UTC."))
    return since


def since_own(messages: Sequence[PastMessage], member_id: str) -> Sequence[PastMessage]:
    """The messages after the member's last one; all of them where they said nothing."""
    own = [index for index, one in enumerate(messages) if one.author.id == member_id]
    return messages[own[-1] + 1 :] if own else messages


def pieces(messages: Sequence[PastMessage], max_chars: int) -> list[tuple[PastMessage, ...]]:
    """The messages in a row of pieces, none longer than `max_chars` unless it is one message."""
    found: list[tuple[PastMessage, ...]] = []
    current: list[PastMessage] = []
    for message in messages:
        is_full = len(dialogue([*current, message])) > max_chars
        if current and (is_full or len(current) >= MAX_PIECE_MESSAGES):
            found.append(tuple(current))
            current = []
        current.append(message)
    return [*found, tuple(current)] if current else found


def dialogue(messages: Sequence[PastMessage]) -> str:
    """The messages as lines with their authors' names."""
    return "\n".join(f"{one.author.name}: {' '.join(one.text.split())}" for one in messages)


def source_of(point: str, messages: Sequence[PastMessage]) -> PastMessage:
    """The message that shares most words with a point, the first of equals."""
    words = _words(point)
    return max(messages, key=lambda one: len(words & _words(one.text)))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
