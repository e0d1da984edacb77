"""Admits events, queues them and sees to it that every message is answered exactly once.

It decides what is answered when; how one message is answered stands in `answering.py`, who gets
the machine next is the engine scheduler's business. Questions of one author in one conversation
are answered in order; all others run side by side.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import assert_never

from bot.access import may_talk
from bot.adapter import Adapter
from bot.answering import Answering, AnswerServices
from bot.appearance import STEERING
from bot.earlier_replies import EarlierReplies
from bot.errors import (
    Busy,
    LeaseLost,
    NotPermitted,
    StoreUnavailable,
    UsageError,
    UserFacingError,
)
from bot.failures import without_text
from bot.messages import (
    Action,
    ActionInvoked,
    Addressed,
    Author,
    CommandInvoked,
    ConversationRef,
    Inbound,
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Quoted,
    Removed,
    ReplyView,
)
from bot.presses import Presses, private
from bot.prompt import conversation_key
from bot.store.ports.inbox import Claim
from bot.store.ports.records import ReplyState, StoredMessage
from bot.store.ports.store import Store
from bot.tasks import beside
from bot.text import clean
from bot.translations import gettext as _

LaneKey = tuple[str, ConversationRef, str, bool]
"""Account, conversation and author, and whether it waits for nothing before: one queue each."""

RECORD_TRIES = 20
RECORD_PAUSE_S = 0.05

HAND_OVER_PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""Between tries to give a message back while the database fails."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how long things may take (seconds)."""

    max_waiting: int = 200
    max_waiting_of_one: int = 10
    lease_s: float = 60.0
    rescan_s: float = 15.0


class Orchestrator:
    """The flow of messages of one process. `run` lasts until cancelled."""

    def __init__(
        self,
        store: Store,
        services: AnswerServices,
        worker: str,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._services = services
        self._worker = worker
        self._limits = limits or Limits()
        self._sleep = sleep
        self._earlier = EarlierReplies(store.replies, services.words, services.clock)
        self._presses = Presses(store, services.reports, services.clock)
        self._adapters: dict[str, Adapter] = {}
        self._lanes: dict[LaneKey, deque[StoredMessage]] = {}
        self._known: dict[int, StoredMessage] = {}
        self._left_over: set[int] = set()
        self._running: dict[int, Answering] = {}
        self._stopped: set[int] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._is_draining = False
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def attach(self, adapter: Adapter) -> None:
        """Serve an adapter, whose account the caller holds."""
        self._adapters[adapter.account] = adapter

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Take up what was left unanswered, then serve until cancelled.

        The caller holds the lock of every attached account, so a claim on their messages is a
        dead process's. `started` is set when events may be submitted.
        """
        for account in self._adapters:
            await self._store.recovery.take_over(account)
        async with asyncio.TaskGroup() as self._tasks:
            if started is not None:
                started.set()
            while True:
                await self._rescan()
                await self._sleep(self._limits.rescan_s)

    async def drain(self, grace_s: float) -> None:
        """Begin no further answer, and wait until those that run have ended or time is up.

        What has not been answered by then is handed over: it stays received in the store.
        """
        self._is_draining = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)

    def in_memory(self) -> int:
        """How many messages and queues are held in memory: 0 when nothing is to be done."""
        return len(self._known) + len(self._lanes)

    def stop(self, conversation: ConversationRef, author: Author) -> int:
        """End the answers to a member in a conversation, to anybody for a manager; how many."""
        own = [
            message
            for message in self._known.values()
            if message.event.conversation == conversation
            and (message.event.author.id == author.id or author.can_manage)
            and not self._is_immediate(message)
            and not self._is_delivering(message.id)
        ]
        for message in own:
            self._stop(message)
        return len(own)

    @contextmanager
    def withdrawing(self, is_meant: Callable[[StoredMessage], bool]) -> Generator[int]:
        """End the answers to questions that the block removes from the store, and delete what is
        shown of them; gives how many questions wait or are answered."""
        known = [message.id for message in self._known.values() if is_meant(message)]

        def running() -> list[Answering]:
            return [self._running[one] for one in known if one in self._running]

        for answering in running():
            # Before the store knows: the claim is lost from then on, and whoever sees that clears.
            answering.is_withdrawn = True
        try:
            yield len(known)
        except BaseException:
            for answering in running():
                answering.is_withdrawn = False
            raise
        for answering in running():  # those too that were claimed meanwhile
            answering.is_withdrawn = True
            answering.stop()

    async def forget(self, key: str) -> None:
        """Drop what is in memory of a conversation, by its key, and of those below it.

        What the answers that run now leave of it is dropped when they have ended.
        """
        for answering in self._running.values():
            answering.forgotten.add(key)
        await self._drop(key)

    async def _drop(self, key: str) -> None:
        self._services.inspections.forget(key)
        await self._services.engine.forget(key)

    async def submit(self, account: str, event: Inbound) -> ReplyView | None:
        """Take an event; stored when this returns. Raises `StoreUnavailable`.

        Gives what to tell who pressed a button.
        """
        match event:
            case IncomingMessage() | CommandInvoked():
                await self._admit(account, event)
            case MessageEdited():
                await self._edit(account, event)
            case MessageDeleted():
                await self._withdraw(account, event)
            case ActionInvoked():
                return await self._act(account, event)
            case Removed():
                await self._store.history.mark_removed(
                    event.platform, event.installation_id, self._services.clock()
                )
            case _:
                assert_never(event)
        return None

    async def _admit(self, account: str, event: IncomingMessage | CommandInvoked) -> None:
        if isinstance(event, IncomingMessage):
            event = replace(event, text=clean(event.text))
            if event.addressed is Addressed.OVERHEARD:
                await self._store.inbox.hear(account, event, self._services.clock())
                return
            if event.addressed is Addressed.CHANNEL and await self._is_shut_out(event):
                return  # they did not ask, so there is nothing to tell them
        message = await self._store.inbox.admit(account, event, self._services.clock())
        if message is not None and not self._enqueue(message):
            self._refuse(message)

    async def _is_shut_out(self, event: IncomingMessage) -> bool:
        """Whether it is certain; whoever could not be checked is told so."""
        where, who = event.conversation, event.author
        is_owner = f"{where.platform}:{who.id}" in self._services.owners
        settings = await self._services.prompts.settings(where, who)
        return not is_owner and may_talk(settings, where, who) is False

    async def _edit(self, account: str, event: MessageEdited) -> None:
        edited = await self._store.history.edit(account, event.id, clean(event.text))
        if edited is not None and edited.id not in self._known:
            self._aside(partial(self._earlier.offer_anew, self._adapters[account], edited))

    async def _withdraw(self, account: str, event: MessageDeleted) -> None:
        known = {one.id for one in self._unanswered_of(account, event.id)}
        with self.withdrawing(lambda message: message.id in known):
            withdrawn = await self._store.history.withdraw(account, event.id)
        if withdrawn is not None:
            self._aside(partial(self.forget, conversation_key(event.conversation)))

    async def _act(self, account: str, event: ActionInvoked) -> ReplyView | None:
        """Do what a button asks for; an error is told to who pressed it."""
        try:
            asked = await self._store.history.find(account, event.message_id)
            if asked is None:
                raise UsageError(
                    _("That question is not kept any more, so there is nothing to do.")
                )
            return await self._press(asked, event)
        except StoreUnavailable:
            raise
        except UserFacingError as error:
            return private(error.text)

    async def _press(self, asked: StoredMessage, event: ActionInvoked) -> ReplyView | None:
        if event.action in STEERING and not _may_steer(event, asked):
            text = _("Only who asked, or who manages this channel, can do that with this answer.")
            raise NotPermitted(text)
        if event.action is Action.STOP:
            for message in self._unanswered_of(asked.account, event.message_id):
                self._stop(message)
            return None
        if event.action is Action.RETRY:
            await self._reopen(asked, event)
            return None
        pressed = await self._presses.press(self._adapters[asked.account], asked, event)
        if pressed.is_shown_anew:
            await self._reopen(asked, event)
        return pressed.told

    async def _reopen(self, asked: StoredMessage, event: ActionInvoked) -> None:
        """Answer a question anew, as it reads now; what a full queue leaves, a rescan takes up."""
        await self._until_recorded(asked.account, event.message_id)
        now = self._services.clock()
        message = await self._store.inbox.reopen(asked.account, event.message_id, event.id, now)
        if message is not None:
            self._enqueue(_with_quoted(message, event.quoted))

    async def _until_recorded(self, account: str, message_id: str) -> None:
        """Let an answer that can be pressed be recorded: the platform shows it a moment before."""
        for _try in range(RECORD_TRIES):
            known = self._unanswered_of(account, message_id)
            if not any(self._is_delivering(message.id) for message in known):
                return
            await self._sleep(RECORD_PAUSE_S)

    def _aside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that no answer depends on, beside them."""

        async def done() -> None:
            try:
                await work()
            except Exception as error:  # the top of a task
                log.info("what is done beside answers failed: %s", without_text(error))

        assert self._tasks is not None, "events are submitted while the orchestrator runs"
        self._tasks.create_task(done())

    def _unanswered_of(self, account: str, message_id: str) -> list[StoredMessage]:
        return [
            message
            for message in self._known.values()
            if message.account == account and message.event.id == message_id
        ]

    def _stop(self, message: StoredMessage) -> None:
        if message.id in self._running:
            self._running[message.id].stop()
        else:
            self._stopped.add(message.id)

    async def _rescan(self) -> None:
        """Queue what is stored and waits for nobody: left by a crash, or by a full queue."""
        for account in list(self._adapters):
            try:
                messages = await self._store.recovery.unanswered(account, self._services.clock())
            except StoreUnavailable as error:
                log.error("%s", error.text)
                return
            for message in messages:
                if message.id not in self._known and self._enqueue(message):
                    self._left_over.add(message.id)

    def _enqueue(self, message: StoredMessage) -> bool:
        """Queue a message; False if its queue is full. While draining all stay in the store."""
        assert self._tasks is not None, "events are submitted while the orchestrator runs"
        if message.id in self._known or self._is_draining:
            return True
        key = self._lane_of(message)
        is_immediate = self._is_immediate(message)
        if (not is_immediate and self._is_full(message.account)) or self._is_full_of_one(key):
            return False
        self._known[message.id] = message
        if key in self._lanes:
            self._lanes[key].append(message)
        else:
            self._lanes[key] = deque([message])
            self._tasks.create_task(self._work_off(key))
        return True

    def _refuse(self, message: StoredMessage) -> None:
        """Tell that it is busy; past as many refusals as questions, leave it to a rescan."""
        assert self._tasks is not None, "events are submitted while the orchestrator runs"
        if self._waiting(message.account) < 2 * self._limits.max_waiting:
            waiting_of_one = len(self._lanes.get(self._lane_of(message), ()))
            self._known[message.id] = message
            self._tasks.create_task(self._answer(message, _busy(waiting_of_one)))

    def _lane_of(self, message: StoredMessage) -> LaneKey:
        event = message.event
        is_immediate = self._is_immediate(message)
        return (message.account, event.conversation, event.author.id, is_immediate)

    def _is_immediate(self, message: StoredMessage) -> bool:
        """Whether it is a command that waits for no question, such as the one to stop."""
        event = message.event
        known = event.name if isinstance(event, CommandInvoked) else None
        return any(one.is_immediate and one.name == known for one in self._services.commands)

    def _is_full(self, account: str) -> bool:
        return self._waiting(account) >= self._limits.max_waiting

    def _is_full_of_one(self, key: LaneKey) -> bool:
        return len(self._lanes.get(key, ())) >= self._limits.max_waiting_of_one

    def _waiting(self, account: str) -> int:
        """How many of an account's messages are not yet answered, but for their delivery."""
        return sum(
            message.account == account and not self._is_delivering(message.id)
            for message in self._known.values()
        )

    def _is_delivering(self, message_id: int) -> bool:
        return message_id in self._running and self._running[message_id].is_delivering

    async def _work_off(self, key: LaneKey) -> None:
        lane = self._lanes[key]
        try:
            while lane and not self._is_draining:
                await self._answer(lane.popleft())
        finally:
            for message in lane:
                self._forget(message.id)
            del self._lanes[key]

    async def _answer(self, message: StoredMessage, refusal: UserFacingError | None = None) -> None:
        """The top of one answer: nothing escapes from here but a cancellation."""
        self._in_progress += 1
        self._idle.clear()
        try:
            claim = await self._claim(message)
            if claim is not None:
                await self._answer_claimed(claim, refusal)
        except LeaseLost:
            log.info("another process, or its withdrawal, ended message %d", message.id)
        except StoreUnavailable as error:
            log.error("message %d waits for the database: %s", message.id, error.text)
        except Exception as error:
            log.error("message %d was given up: %s", message.id, without_text(error))
        finally:
            self._forget(message.id)
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()

    def _forget(self, message_id: int) -> None:
        del self._known[message_id]
        self._left_over.discard(message_id)
        self._stopped.discard(message_id)

    async def _claim(self, message: StoredMessage) -> Claim | None:
        now = self._services.clock()
        lease_until = now + timedelta(seconds=self._limits.lease_s)
        claim = await self._store.inbox.claim(message.id, self._worker, now, lease_until)
        if claim is None or not isinstance(message.event, IncomingMessage):
            return claim
        return replace(claim, message=_with_quoted(claim.message, message.event.quoted))

    async def _answer_claimed(self, claim: Claim, refusal: UserFacingError | None) -> None:
        message_id = claim.message.id
        adapter = self._adapters[claim.message.account]
        is_left_over = message_id in self._left_over
        answering = Answering(self._services, adapter, claim, is_left_over=is_left_over)
        self._running[message_id] = answering
        if message_id in self._stopped:
            answering.stop()
        try:
            async with beside(self._renew(claim), is_joined=False):
                await self._run_or_apologise(answering, refusal)
            self._aside(partial(self._earlier.withdraw_buttons, adapter, claim.message))
        except (asyncio.CancelledError, StoreUnavailable):
            await asyncio.shield(self._hand_over(claim))
            raise
        except LeaseLost:
            if answering.is_withdrawn:
                await answering.remove_shown()
            raise
        finally:
            del self._running[message_id]
            for key in () if self._is_draining else answering.forgotten:
                await self._drop(key)

    async def _run_or_apologise(
        self, answering: Answering, refusal: UserFacingError | None
    ) -> None:
        """Answer; where that fails say so, and where even that fails end it as failed."""
        apology = UserFacingError(_("Something went wrong on my side. Please ask again."))
        for said in (refusal, apology):
            try:
                await answering.run(said)
            except (LeaseLost, StoreUnavailable):
                raise
            except Exception as error:
                log.error("message %d failed: %s", answering.message.id, without_text(error))
            else:
                return
        await answering.end(ReplyState.FAILED)

    async def _hand_over(self, claim: Claim) -> None:
        """Give an unfinished message back, to be answered later: that is no crash."""
        for pause_s in HAND_OVER_PAUSES_S:
            try:
                await self._store.inbox.release(claim)
            except LeaseLost:
                return
            except StoreUnavailable as error:
                log.warning("message %d is not handed over yet: %s", claim.message.id, error.text)
                await self._sleep(pause_s)
            else:
                return

    async def _renew(self, claim: Claim) -> None:
        while True:
            await self._sleep(self._limits.lease_s / 3)
            lease_until = self._services.clock() + timedelta(seconds=self._limits.lease_s)
            try:
                await self._store.inbox.renew(claim, lease_until)
            except StoreUnavailable as error:
                log.warning("a lease was not renewed: %s", error.text)


def _may_steer(event: ActionInvoked, message: StoredMessage) -> bool:
    """Whether the answer to a message is theirs to stop or to ask for anew."""
    return event.author.id == message.event.author.id or event.author.can_manage


def _with_quoted(message: StoredMessage, quoted: tuple[Quoted, ...]) -> StoredMessage:
    """The message with what it quotes: live context, which the store does not keep."""
    if not isinstance(message.event, IncomingMessage):
        return message
    return replace(message, event=replace(message.event, quoted=quoted))


def _busy(waiting_of_one: int) -> Busy:
    if waiting_of_one:
        return Busy(
            _(
                "You have {number} questions waiting already. Please let me answer those first."
            ).format(number=waiting_of_one)
        )
    return Busy(_("I am busy: too many questions wait. Please try again in a few minutes."))
