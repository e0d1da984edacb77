"""Who waits behind whom in this process: a queue for each author in a conversation.

Its questions are answered in order, all others side by side. It keeps nothing: what is not queued,
or is dropped, stays in the store.
"""

from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator

from bot.command import CommandRegistry
from bot.errors import Busy, UserFacingError
from bot.flow.attempts import Attempts
from bot.messages import CommandInvoked, ConversationRef
from bot.store.ports.records import StoredMessage
from bot.translations import gettext as _

LaneKey = tuple[str, ConversationRef, str, bool]
"""Account, conversation and author, and whether it waits for nothing before: one queue each."""


class Lanes:
    """The messages that wait or are answered; iterating gives them all.

    Of one author in one place, a channel with all its threads, `max_waiting_of_one` wait behind the
    one that is answered. At most `max_waiting` of an account wait, and up to twice as many where
    those beyond it are of people who have fewer waiting than somebody else: nobody is refused
    because of a flood. `start` starts a task.
    """

    def __init__(
        self,
        attempts: Attempts,
        commands: CommandRegistry,
        start: Callable[[Coroutine[object, object, None]], None],
        *,
        max_waiting: int,
        max_waiting_of_one: int,
    ) -> None:
        self._attempts = attempts
        self._commands = commands
        self._start = start
        self._max_waiting = max_waiting
        self._max_waiting_of_one = max_waiting_of_one
        self._lanes: dict[LaneKey, deque[StoredMessage]] = {}
        self._known: dict[int, StoredMessage] = {}
        self._left_over: set[int] = set()
        self._refused: set[int] = set()

    def __iter__(self) -> Iterator[StoredMessage]:
        return iter(self._known.values())

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._known

    def in_memory(self) -> int:
        """How many messages and queues there are."""
        return len(self._known) + len(self._lanes)

    def of(self, account: str, event_id: str) -> list[StoredMessage]:
        """The messages of an event, by the platform's id."""
        return [one for one in self if one.account == account and one.event.id == event_id]

    def add(self, message: StoredMessage, *, is_left_over: bool = False) -> bool:
        """Queue a message; False if its queue is full. While draining all stay in the store.

        What was taken before has its place, however many those are: else newer ones overtook it.
        """
        if message.id in self._known or self._attempts.is_draining:
            return True
        key = self._lane_of(message)
        if not is_left_over and self._is_full(message):
            return False
        self._known[message.id] = message
        if is_left_over:
            self._left_over.add(message.id)
        if key in self._lanes:
            self._lanes[key].append(message)
        else:
            self._lanes[key] = deque([message])
            self._start(self._work_off(key))
        return True

    def refuse(self, message: StoredMessage) -> None:
        """Tell that it is busy; past as many refusals as questions, leave it to a rescan."""
        if self._waiting(message.account) < 2 * self._max_waiting:
            is_own = self._is_full_of_one(message)
            self._known[message.id] = message
            self._refused.add(message.id)
            self._start(self._answer(message, _busy(self._max_waiting_of_one if is_own else 0)))

    def is_immediate(self, message: StoredMessage) -> bool:
        """Whether it is a command that waits for no question, such as the one to stop."""
        event = message.event
        if not isinstance(event, CommandInvoked):
            return False
        return any(one.is_immediate and one.name == event.name for one in self._commands)

    def _lane_of(self, message: StoredMessage) -> LaneKey:
        event, is_immediate = message.event, self.is_immediate(message)
        return (message.account, event.conversation, event.author.id, is_immediate)

    def _is_full(self, message: StoredMessage) -> bool:
        if self._is_full_of_one(message):
            return True
        if self.is_immediate(message):
            return False
        waiting = self._waiting(message.account)
        if waiting < self._max_waiting:
            return False
        of_each = Counter(one.event.author.id for one in self._unanswered(message.account))
        has_fewer = of_each[message.event.author.id] + 1 < max(of_each.values(), default=0)
        return not has_fewer or waiting >= 2 * self._max_waiting

    def _is_full_of_one(self, message: StoredMessage) -> bool:
        """Whether all that one author may have waiting in a place is there."""
        where = self._place_of(message)
        own = sum(self._place_of(one) == where for one in self._unanswered(message.account))
        return own > self._max_waiting_of_one

    def _place_of(self, message: StoredMessage) -> tuple[str, str, str, bool]:
        """The author and the channel, whatever the thread: one may be begun for each question."""
        event, is_immediate = message.event, self.is_immediate(message)
        where = event.conversation
        return (event.author.id, where.installation_id, where.channel_id, is_immediate)

    def _unanswered(self, account: str) -> Iterator[StoredMessage]:
        """What is answered or will be: no refusals, and nothing that waits for the platform."""
        return (
            one
            for one in self
            if one.account == account
            and one.id not in self._refused
            and not self._attempts.is_delivering(one.id)
        )

    def _waiting(self, account: str) -> int:
        """How many of an account's messages are not yet answered, but for their delivery."""
        return sum(
            one.account == account and not self._attempts.is_delivering(one.id) for one in self
        )

    async def _work_off(self, key: LaneKey) -> None:
        lane = self._lanes[key]
        try:
            while lane and not self._attempts.is_draining:
                await self._answer(lane.popleft())
        finally:
            for message in lane:
                self._forget(message.id)
            del self._lanes[key]

    async def _answer(self, message: StoredMessage, refusal: UserFacingError | None = None) -> None:
        is_left_over = message.id in self._left_over
        try:
            await self._attempts.answer(
                message,
                refusal,
                is_left_over=is_left_over,
                is_immediate=self.is_immediate(message),
            )
        finally:
            self._forget(message.id)

    def _forget(self, message_id: int) -> None:
        del self._known[message_id]
        self._left_over.discard(message_id)
        self._refused.discard(message_id)


def _busy(waiting_of_one: int) -> Busy:
    if waiting_of_one:
        return Busy(
            _(
                "You have {number} questions waiting already. Please let me answer those first."
            ).format(number=waiting_of_one)
        )
    return Busy(_("I am busy: too many questions wait. Please try again in a few minutes."))
