"""The port of messages left over from earlier, and of the daily sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bot.store.ports.records import StoredMessage
from bot.store.ports.scopes import ScopeKey


class Reason(StrEnum):
    """Why a message was given up."""

    CRASHED = "crashed"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A message that will get no answer unless its owner has it tried again, without its text.

    `event_id` is the platform's id of it.
    """

    id: int
    account: str
    event_id: str
    channel_id: str
    author_id: str
    received_at: datetime
    reason: Reason


class Recovery(Protocol):
    """What a starting process, its owner and the daily sweep need of the inbox."""

    async def take_over(self, account: str) -> int:
        """End all leases of an account whose lock the caller holds: their owners are dead.

        Gives how many those are.

        One that was alone in the forward pass of its process is a crash; several are interrupted
        (their messages are suspect), and a finished answer is neither. A claim that lives after
        all is lost.
        """
        ...

    async def unanswered(self, account: str, now: datetime) -> Sequence[StoredMessage]:
        """Received messages of the account that no live lease covers, oldest first.

        A bounded number of them: ask again when they are answered. One that cannot be read is
        marked as failed and left out.
        """
        ...

    async def given_up(self) -> Sequence[GivenUp]:
        """The messages that a crash, a platform or damage cost their answer, latest first.

        Those whose author was told something better, such as what to ask for instead, are none.
        """
        ...

    async def purge(
        self,
        older_than: datetime,
        rules: Sequence[tuple[ScopeKey, datetime]] = (),
        removed_before: datetime | None = None,
    ) -> int:
        """Delete messages received before then, with their replies; returns how many.

        In a place of `rules` its own time counts: that of the first rule which a message is in.
        Those that came before their installation was marked as removed go too, where that was
        before `removed_before` (None: whenever). Deduplication keys hold no content and stay a
        week longer than the messages, the trail of settings a year.
        """
        ...
