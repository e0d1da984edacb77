"""The port of messages to answer, and the claims on them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.messages import Answerable, IncomingMessage
from bot.store.ports.records import Answer, ReplyPart, ReplyState, StoredMessage


@dataclass(frozen=True, slots=True)
class Claim:
    """One process's right to answer one message, until its lease ends.

    `attempt` counts from 1; `crashes` counts the earlier attempts that a process died in while
    nothing else was in its forward pass; `parts` are what earlier attempts posted; `answer` is
    there when an earlier attempt finished the text.
    """

    message: StoredMessage
    reply_id: int
    attempt: int
    fence: int
    worker: str
    crashes: int
    parts: tuple[ReplyPart, ...] = ()
    answer: Answer | None = None


class Inbox(Protocol):
    """Messages to answer and the claims on them.

    A claim's writes check its fence: after another worker claimed the message, or its author
    withdrew it, each of them raises `LeaseLost` and changes nothing.
    """

    async def admit(
        self, account: str, event: Answerable, received_at: datetime
    ) -> StoredMessage | None:
        """Store an event and its deduplication key in one transaction; None if seen before.

        `IncomingMessage.quoted` is live context: the message returned here still carries it, no
        later one does, as it is not stored.
        """
        ...

    async def hear(self, account: str, event: IncomingMessage, received_at: datetime) -> None:
        """Store what people said to each other, for later turns; as `admit`, but to no answer."""
        ...

    async def reopen(
        self, account: str, message_id: str, action_id: str, now: datetime
    ) -> StoredMessage | None:
        """Make an answered or failed message wait for a new answer, as if it came now.

        `message_id` is the platform's. The new answer takes the place of the last one: its parts
        pass on, its text does not. Stored with the deduplication key `action_id` in one
        transaction; None if that was seen before, or the message is unknown, withdrawn or waits.
        """
        ...

    async def claim(
        self, message_id: int, worker: str, now: datetime, lease_until: datetime
    ) -> Claim | None:
        """Claim a received message; None if it is answered, withdrawn or claimed by a live lease.

        An attempt whose lease ran out is taken for one that its process died in; its parts and its
        finished text pass to the new attempt.
        """
        ...

    async def renew(self, claim: Claim, lease_until: datetime) -> None:
        """Make the lease last longer."""
        ...

    async def save_part(self, claim: Claim, part: ReplyPart) -> None:
        """Record a posted (or newly shown) part of the reply."""
        ...

    async def save_answer(self, claim: Claim, answer: Answer) -> None:
        """Record the finished text before its last parts are shown."""
        ...

    async def finish(
        self, claim: Claim, state: ReplyState, now: datetime, replaces: int | None = None
    ) -> None:
        """End the attempt; the message becomes answered, or failed (state failed).

        Where it is answered, the message with the id `replaces` leaves the context.
        A cancelled reply is an answer too: the member asked for it to stop.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Hand an unfinished message back (graceful shutdown): not a crash, claimable at once."""
        ...
