"""The messages that this process has in memory, and who waits behind whom.

The questions of one author in one conversation are answered in order, all others side by side. It
starts nothing and keeps nothing: what is not queued, or is dropped, stays in the store.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot.flow.message_life import MessageLife, Phase
from bot.messages import Author, ConversationRef
from bot.store.ports.records import StoredMessage

QueueKey = tuple[str, ConversationRef, str, bool]
"""Account, conversation and author, and whether it waits for nothing before: one queue each."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how long things may take (seconds)."""

    max_waiting: int = 200
    max_waiting_of_one: int = 10
    lease_s: float = 60.0
    rescan_s: float = 15.0


class Queues:
    """The messages that wait or are answered; iterating gives them all.

    Of one author in one place, a channel with all its threads, `max_waiting_of_one` wait behind the
    one that is answered. At most `max_waiting` of an account wait, and up to twice as many where
    those beyond it are of people who have fewer waiting than somebody else: nobody is refused
    because of a flood.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._queues: dict[QueueKey, deque[MessageLife]] = {}
        self._known: dict[int, MessageLife] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[MessageLife]:
        return iter(self._known.values())

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._known

    def in_memory(self) -> int:
        """How many messages and queues there are."""
        return len(self._known) + len(self._queues)

    def of(self, account: str, event_id: str) -> list[MessageLife]:
        """The messages of an event, by the platform's id."""
        return [
            life
            for life in self
            if life.message.account == account and life.message.event.id == event_id
        ]

    def has_room(self, life: MessageLife) -> bool:
        """Whether one more may be queued."""
        return not self.is_full_of_one(life) and (life.is_immediate or not self._is_full(life))

    def has_room_for_refusal(self, life: MessageLife) -> bool:
        """Whether one more may be told that it is refused."""
        return self._waiting(life.message.account) < 2 * self.limits.max_waiting

    def is_full_of_one(self, life: MessageLife) -> bool:
        """Whether all that one author may have waiting in a place is there."""
        where = _place_of(life)
        own = sum(_place_of(one) == where for one in self._to_answer(life.message.account))
        return own > self.limits.max_waiting_of_one

    def add(self, life: MessageLife) -> None:
        """Know a message that stands in no queue."""
        self._known[life.message.id] = life
        self._empty.clear()

    def queue(self, life: MessageLife) -> bool:
        """Put a message at the end of its queue; whether that is a new one, to be worked off."""
        self.add(life)
        is_new = key_of(life) not in self._queues
        self._queues.setdefault(key_of(life), deque()).append(life)
        return is_new

    def next(self, key: QueueKey) -> MessageLife | None:
        """Take the first message out of a queue."""
        queue = self._queues[key]
        return queue.popleft() if queue else None

    def close(self, key: QueueKey) -> None:
        """Drop a queue with what waits in it."""
        for life in self._queues.pop(key):
            self.end(life)

    def end(self, life: MessageLife) -> None:
        """Drop a message that this process is done with."""
        del self._known[life.message.id]
        life.enter(Phase.ENDED)
        if not self._known:
            self._empty.set()

    async def until_empty(self) -> None:
        """Wait until nothing is in memory."""
        await self._empty.wait()

    def stop(self, conversation: ConversationRef, author: Author) -> int:
        """End the answers to a member in a conversation, to anybody for a manager; how many."""
        meant = [
            life
            for life in self
            if life.message.event.conversation == conversation
            and (life.message.event.author.id == author.id or author.can_manage)
            and not life.is_immediate
            and life.is_unanswered
        ]
        for life in meant:
            life.switch.stop()
        return len(meant)

    @contextmanager
    def withdrawing(self, is_meant: Callable[[StoredMessage], bool]) -> Generator[int]:
        """End the answers to questions that the block removes from the store, and delete what is
        shown of them; gives how many questions wait or are answered."""
        meant = [life for life in self if is_meant(life.message)]
        # Before the store knows: the claim is lost from then on, and whoever sees that clears.
        _mark_withdrawn(meant, is_withdrawn=True)
        try:
            yield len(meant)
        except BaseException:
            _mark_withdrawn(meant, is_withdrawn=False)
            raise
        for life in meant:
            life.switch.stop()

    def _is_full(self, life: MessageLife) -> bool:
        waiting = self._waiting(life.message.account)
        if waiting < self.limits.max_waiting:
            return False
        unanswered = self._to_answer(life.message.account)
        of_each = Counter(one.message.event.author.id for one in unanswered)
        own = of_each[life.message.event.author.id]
        has_fewer = own + 1 < max(of_each.values(), default=0)
        return not has_fewer or waiting >= 2 * self.limits.max_waiting

    def _to_answer(self, account: str) -> Iterator[MessageLife]:
        """What is answered or will be: no refusals, and nothing that waits for the platform."""
        return (
            life
            for life in self
            if life.message.account == account and life.refusal is None and life.is_unanswered
        )

    def _waiting(self, account: str) -> int:
        """How many of an account's messages are not yet answered, but for their delivery."""
        return sum(life.message.account == account and life.is_unanswered for life in self)


def key_of(life: MessageLife) -> QueueKey:
    """The queue that a message belongs in."""
    event = life.message.event
    return (life.message.account, event.conversation, event.author.id, life.is_immediate)


def _place_of(life: MessageLife) -> tuple[str, str, str, bool]:
    """The author and the channel, whatever the thread: one may be begun for each question."""
    event = life.message.event
    where = event.conversation
    return (event.author.id, where.installation_id, where.channel_id, life.is_immediate)


def _mark_withdrawn(lives: list[MessageLife], *, is_withdrawn: bool) -> None:
    for life in lives:
        life.is_withdrawn = is_withdrawn
