"""The port of messages left over from earlier, and of the daily sweep."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.store.ports.records import StoredMessage
from bot.store.ports.scopes import ScopeKey


class Recovery(Protocol):
    """What a starting process and the daily sweep need of the inbox."""

    async def take_over(self, account: str) -> None:
        """End all leases of an account whose lock the caller holds: their owners are dead.

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
