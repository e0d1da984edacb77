"""Owns every message from queued to ended, and sees to it that each is answered exactly once.

It leads a message through the phases of `message_life.py`. Ownership goes one way: what is called
from here (queues, attempts, answers) never calls back.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from bot.adapter import Adapter
from bot.errors import Busy, StoreUnavailable, without_text
from bot.flow.attempts import Attempts
from bot.flow.conversation_memory import ConversationMemory
from bot.flow.earlier_replies import EarlierReplies
from bot.flow.message_life import MessageLife, Phase
from bot.flow.queues import QueueKey, Queues, key_of
from bot.flow.services import AnswerServices
from bot.messages import CommandInvoked
from bot.store.ports.records import StoredMessage
from bot.store.ports.recovery import Recovery
from bot.translations import gettext as _

STORE_PAUSE_S = 1.0
"""Between tries of a message while the store is away."""

log = logging.getLogger(__name__)


class ForwardPass:
    """Who may be in the engine's forward pass together: everybody, or one suspect alone.

    A message that was being answered when a process died may be what killed it. Answered alone, it
    can be told; beside others it could bring them down again and again. They enter in the order of
    arrival.
    """

    def __init__(self) -> None:
        self._entrance = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside = 0

    @asynccontextmanager
    async def entered(self, *, alone: bool) -> AsyncGenerator[None]:
        """Be in it for as long as the block lasts; `alone` with nobody else."""
        async with self._entrance:
            if alone:
                await self._empty.wait()
                yield
                return
            self._inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()


class Dispatcher:
    """The messages of one process at work. `run` lasts until cancelled."""

    def __init__(
        self,
        recovery: Recovery,
        services: AnswerServices,
        queues: Queues,
        memory: ConversationMemory,
        earlier: EarlierReplies,
        worker: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._recovery = recovery
        self._services = services
        self._queues = queues
        self._memory = memory
        self._earlier = earlier
        self._attempts = Attempts(services, worker, queues.limits.lease_s, sleep)
        self._forward_pass = ForwardPass()
        self._sleep = sleep
        self._adapters: dict[str, Adapter] = {}
        self._is_draining = False
        self._tasks: asyncio.TaskGroup | None = None

    def attach(self, adapter: Adapter) -> None:
        """Serve an adapter, whose account the caller holds."""
        self._adapters[adapter.account] = adapter

    def adapter_of(self, account: str) -> Adapter:
        """The adapter of an account that is served."""
        return self._adapters[account]

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Take up what was left unanswered, then serve until cancelled.

        The caller holds the lock of every attached account, so a claim on their messages is a
        dead process's. `started` is set when messages may be taken.
        """
        for account in self._adapters:
            if died := await self._recovery.take_over(account):
                log.warning(
                    "the process before died while it answered %d messages of %s; they are taken "
                    "up again",
                    died,
                    account,
                )
        async with asyncio.TaskGroup() as self._tasks:
            if started is not None:
                started.set()
            while True:
                await self._rescan()
                await self._sleep(self._queues.limits.rescan_s)

    async def drain(self, grace_s: float) -> None:
        """Begin no further answer, and wait until those that run have ended or time is up.

        What has not been answered by then is handed over: it stays received in the store.
        """
        self._is_draining = True
        self._attempts.hurry()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queues.until_empty(), grace_s)

    def take(self, message: StoredMessage, *, is_left_over: bool = False) -> bool:
        """Queue a message; False if its queue is full. While draining all stay in the store.

        What was taken before has its place, however many those are: else newer ones overtook it.
        """
        if message.id in self._queues or self._is_draining:
            return True
        life = MessageLife(
            message, is_immediate=self._is_immediate(message), is_left_over=is_left_over
        )
        if not is_left_over and not self._queues.has_room(life):
            return False
        if self._queues.queue(life):
            self._start(self._work_off(key_of(life)))
        return True

    def refuse(self, message: StoredMessage) -> None:
        """Tell that it is busy; past as many refusals as questions, leave it to a rescan."""
        life = MessageLife(message, is_immediate=self._is_immediate(message))
        if self._queues.has_room_for_refusal(life):
            is_own = self._queues.is_full_of_one(life)
            life.refusal = _busy(self._queues.limits.max_waiting_of_one if is_own else 0)
            self._queues.add(life)
            self._start(self._lead(life))

    def aside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that no answer depends on, beside them."""
        self._start(_guarded(work))

    async def _work_off(self, key: QueueKey) -> None:
        """Answer the messages of one queue, one after another."""
        try:
            while not self._is_draining and (life := self._queues.next(key)) is not None:
                await self._lead(life)
        finally:
            self._queues.close(key)

    async def _lead(self, life: MessageLife) -> None:
        """Lead one message from its turn to its end.

        While the store is away it keeps its place: else its author's next one overtook it.
        """
        try:
            while not self._is_draining and not await self._is_led(life):
                life.enter(Phase.WAITING)
                await self._sleep(STORE_PAUSE_S)
            if not self._is_draining:
                await _guarded(partial(self._memory.settle, life))
        finally:
            self._queues.end(life)

    async def _is_led(self, life: MessageLife) -> bool:
        """Try to answer a message; False where the store was away."""
        adapter = self._adapters[life.message.account]
        async with AsyncExitStack() as inside:
            if life.refusal is None and not life.is_immediate:
                turn = self._forward_pass.entered(alone=life.message.is_suspect)
                await inside.enter_async_context(turn)
            try:
                if not self._is_draining and await self._attempts.answer(life, adapter, inside):
                    self.aside(partial(self._earlier.withdraw_buttons, adapter, life.message))
            except StoreUnavailable as error:
                log.error("message %d waits for the database: %s", life.message.id, error.text)
                return False
        return True

    def _is_immediate(self, message: StoredMessage) -> bool:
        """Whether it is a command that waits for no question, such as the one to stop."""
        event = message.event
        if not isinstance(event, CommandInvoked):
            return False
        return any(one.is_immediate and one.name == event.name for one in self._services.commands)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        assert self._tasks is not None, "messages are taken while the dispatcher runs"
        self._tasks.create_task(work)

    async def _rescan(self) -> None:
        """Queue what is stored and waits for nobody: left by a crash, or by a full queue."""
        for account in list(self._adapters):
            try:
                messages = await self._recovery.unanswered(account, self._services.clock())
            except StoreUnavailable as error:
                log.error("%s", error.text)
                return
            for message in messages:
                self.take(message, is_left_over=True)


async def _guarded(work: Callable[[], Awaitable[None]]) -> None:
    """Do what no answer depends on: where it fails, that is logged and no more."""
    try:
        await work()
    except Exception as error:  # the top of a task
        log.info("what is done beside answers failed: %s", without_text(error))


def _busy(waiting_of_one: int) -> Busy:
    if waiting_of_one:
        return Busy(
            _(
                "You have {number} questions waiting already. Please let me answer those first."
            ).format(number=waiting_of_one)
        )
    return Busy(_("I am busy: too many questions wait. Please try again in a few minutes."))
