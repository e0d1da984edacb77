"""The last answers as their models saw them: kept in memory alone, for /inspect."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from bot.conversation import is_within
from bot.engine.base import Trace, Usage

MAX_KEPT = 500
"""Answers that are kept, the latest; each is no longer than a model's window."""

TRACED_TOKENS = 6
"""How many tokens of an answer are kept with what else was likely."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """How one answer came about. `sent` is what was handed to the engine, in words, where the
    engine could not tell the very prompt (`trace`).
    """

    model: str
    asker: str
    answered_at: datetime
    usage: Usage
    seconds: float
    trace: Trace | None = field(default=None, repr=False)
    sent: str = field(default="", repr=False)


class Inspections:
    """The last answer to each member in each conversation; `since` is when keeping began."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self._kept: OrderedDict[tuple[str, str], Inspection] = OrderedDict()

    def keep(self, conversation_key: str, author_id: str, inspection: Inspection) -> None:
        """Keep an answer in place of the one before; the oldest of too many goes."""
        self._kept.pop((conversation_key, author_id), None)
        self._kept[conversation_key, author_id] = inspection
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def of(self, conversation_key: str, author_id: str) -> Inspection | None:
        """The last answer to a member in a conversation."""
        return self._kept.get((conversation_key, author_id))

    def latest(self, conversation_key: str) -> Inspection | None:
        """The last answer to anybody in a conversation."""
        found = [one for (key, _who), one in self._kept.items() if key == conversation_key]
        return found[-1] if found else None

    def forget(self, conversation_key: str) -> None:
        """Drop what is kept of a conversation and of those below it."""
        for key in list(self._kept):
            if is_within(key[0], conversation_key):
                del self._kept[key]
