"""Who waits behind whom in this process: a queue for each author in a conversation.

Its questions are answered in order, all others side by side. It keeps nothing: what is not queued,
or is dropped, stays in the store.
"""

from collections import deque
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

    At most `max_waiting` of an account wait, and `max_waiting_of_one` of one author in a
    conversation. `start` starts a task.
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
        """Queue a message; False if its queue is full. While draining all stay in the store."""
        if message.id in self._known or self._attempts.is_draining:
            return True
        key = self._lane_of(message)
        is_full = not self.is_immediate(message) and self._is_full(message.account)
        if is_full or self._is_full_of_one(key):
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
            waiting_of_one = len(self._lanes.get(self._lane_of(message), ()))
            self._known[message.id] = message
            self._start(self._answer(message, _busy(waiting_of_one)))

    def is_immediate(self, message: StoredMessage) -> bool:
        """Whether it is a command that waits for no question, such as the one to stop."""
        event = message.event
        known = event.name if isinstance(event, CommandInvoked) else None
        return any(one.is_immediate and one.name == known for one in self._commands)

    def _lane_of(self, message: StoredMessage) -> LaneKey:
        event, is_immediate = message.event, self.is_immediate(message)
        return (message.account, event.conversation, event.author.id, is_immediate)

    def _is_full(self, account: str) -> bool:
        return self._waiting(account) >= self._max_waiting

    def _is_full_of_one(self, key: LaneKey) -> bool:
        return len(self._lanes.get(key, ())) >= self._max_waiting_of_one

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


def _busy(waiting_of_one: int) -> Busy:
    if waiting_of_one:
        return Busy(
            _(
                "You have {number} questions waiting already. Please let me answer those first."
            ).format(number=waiting_of_one)
        )
    return Busy(_("I am busy: too many questions wait. Please try again in a few minutes."))
