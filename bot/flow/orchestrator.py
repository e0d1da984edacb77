"""Admits events, and sees to it that every message is answered exactly once.

Who waits behind whom stands in `queues.py`, what becomes of a message whose turn has come in
`attempts.py`; who gets the machine next is the engine scheduler's business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from bot.adapter import Adapter
from bot.errors import NotPermitted, StoreUnavailable, UsageError, UserFacingError, without_text
from bot.flow.attempts import Attempts, with_quoted
from bot.flow.button_actions import Presses, private
from bot.flow.earlier_replies import EarlierReplies
from bot.flow.queues import Lanes
from bot.flow.request import conversation_key
from bot.flow.services import AnswerServices
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
    Removed,
    ReplyView,
)
from bot.policy.access import may_talk
from bot.reply.buttons import STEERING
from bot.store.ports.records import StoredMessage
from bot.store.ports.store import Store
from bot.text import clean
from bot.translations import gettext as _

RECORD_TRIES = 20
RECORD_PAUSE_S = 0.05

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
        limits = limits or Limits()
        self._store = store
        self._services = services
        self._rescan_s = limits.rescan_s
        self._sleep = sleep
        self._earlier = EarlierReplies(store.replies, services.words, services.clock)
        self._presses = Presses(store, services.reports, services.clock)
        self._adapters: dict[str, Adapter] = {}
        self._attempts = Attempts(
            services, self._adapters, worker, limits.lease_s, self._take_buttons_before, sleep
        )
        self._lanes = Lanes(
            self._attempts,
            services.commands,
            self._start,
            max_waiting=limits.max_waiting,
            max_waiting_of_one=limits.max_waiting_of_one,
        )
        self._tasks: asyncio.TaskGroup | None = None

    def attach(self, adapter: Adapter) -> None:
        """Serve an adapter, whose account the caller holds."""
        self._adapters[adapter.account] = adapter
        self._services.reports.attach(adapter)

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Take up what was left unanswered, then serve until cancelled.

        The caller holds the lock of every attached account, so a claim on their messages is a
        dead process's. `started` is set when events may be submitted.
        """
        for account in self._adapters:
            if died := await self._store.recovery.take_over(account):
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
                await self._sleep(self._rescan_s)

    async def drain(self, grace_s: float) -> None:
        """Begin no further answer, and wait until those that run have ended or time is up.

        What has not been answered by then is handed over: it stays received in the store.
        """
        await self._attempts.drain(grace_s)

    def in_memory(self) -> int:
        """How many messages and queues are held in memory: 0 when nothing is to be done."""
        return self._lanes.in_memory()

    def stop(self, conversation: ConversationRef, author: Author) -> int:
        """End the answers to a member in a conversation, to anybody for a manager; how many."""
        own = [
            message
            for message in self._lanes
            if message.event.conversation == conversation
            and (message.event.author.id == author.id or author.can_manage)
            and not self._lanes.is_immediate(message)
            and not self._attempts.is_delivering(message.id)
        ]
        for message in own:
            self._attempts.stop(message.id)
        return len(own)

    def withdrawing(self, is_meant: Callable[[StoredMessage], bool]) -> AbstractContextManager[int]:
        """End the answers to questions that the block removes from the store, and delete what is
        shown of them; gives how many questions wait or are answered."""
        return self._attempts.withdrawing([one.id for one in self._lanes if is_meant(one)])

    async def forget(self, key: str) -> None:
        """Drop what is in memory of a conversation, by its key, and of those below it.

        What the answers that run now leave of it is dropped when they have ended.
        """
        await self._attempts.forget(key)

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
        if message is not None and not self._lanes.add(message):
            self._lanes.refuse(message)

    async def _is_shut_out(self, event: IncomingMessage) -> bool:
        """Whether it is certain; whoever could not be checked is told so."""
        where, who = event.conversation, event.author
        settings = await self._services.prompts.settings(where, who)
        is_shut_out = may_talk(settings, where, who) is False
        return is_shut_out and not self._services.is_from_owner(event)

    async def _edit(self, account: str, event: MessageEdited) -> None:
        edited = await self._store.history.edit(account, event.id, clean(event.text))
        if edited is not None and edited.id not in self._lanes:
            self._aside(partial(self._earlier.offer_anew, self._adapters[account], edited))

    async def _withdraw(self, account: str, event: MessageDeleted) -> None:
        known = [one.id for one in self._lanes.of(account, event.id)]
        with self._attempts.withdrawing(known):
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
            for message in self._lanes.of(asked.account, event.message_id):
                self._attempts.stop(message.id)
            return None
        if event.action is Action.RETRY:
            await self._reopen(asked, event)
            return None
        pressed = await self._presses.press(asked, event)
        if pressed.is_shown_anew:
            await self._reopen(asked, event)
        return pressed.told

    async def _reopen(self, asked: StoredMessage, event: ActionInvoked) -> None:
        """Answer a question anew, as it reads now; what a full queue leaves, a rescan takes up."""
        await self._until_recorded(asked.account, event.message_id)
        now = self._services.clock()
        message = await self._store.inbox.reopen(asked.account, event.message_id, event.id, now)
        if message is not None:
            self._lanes.add(with_quoted(message, event.quoted))

    async def _until_recorded(self, account: str, message_id: str) -> None:
        """Let an answer that can be pressed be recorded: the platform shows it a moment before."""
        for _try in range(RECORD_TRIES):
            known = self._lanes.of(account, message_id)
            if not any(self._attempts.is_delivering(message.id) for message in known):
                return
            await self._sleep(RECORD_PAUSE_S)

    def _aside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that no answer depends on, beside them."""

        async def done() -> None:
            try:
                await work()
            except Exception as error:  # the top of a task
                log.info("what is done beside answers failed: %s", without_text(error))

        self._start(done())

    def _start(self, work: Coroutine[object, object, None]) -> None:
        assert self._tasks is not None, "events are submitted while the orchestrator runs"
        self._tasks.create_task(work)

    def _take_buttons_before(self, answered: StoredMessage) -> None:
        adapter = self._adapters[answered.account]
        self._aside(partial(self._earlier.withdraw_buttons, adapter, answered))

    async def _rescan(self) -> None:
        """Queue what is stored and waits for nobody: left by a crash, or by a full queue."""
        for account in list(self._adapters):
            try:
                messages = await self._store.recovery.unanswered(account, self._services.clock())
            except StoreUnavailable as error:
                log.error("%s", error.text)
                return
            for message in messages:
                self._lanes.add(message, is_left_over=True)


def _may_steer(event: ActionInvoked, message: StoredMessage) -> bool:
    """Whether the answer to a message is theirs to stop or to ask for anew."""
    return event.author.id == message.event.author.id or event.author.can_manage
