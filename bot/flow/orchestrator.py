"""Takes the events of the platforms: what is to be answered is stored and handed to the dispatcher.

From then on a message's life is the dispatcher's; who gets the machine next is the engine
scheduler's business.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import assert_never

from bot.adapter import Adapter
from bot.flow.button_actions import Presses
from bot.flow.conversation_memory import ConversationMemory
from bot.flow.dispatcher import Dispatcher
from bot.flow.earlier_replies import EarlierReplies
from bot.flow.message_life import Phase
from bot.flow.queues import Queues
from bot.flow.request import conversation_key
from bot.flow.services import AnswerServices
from bot.messages import (
    ActionInvoked,
    Addressed,
    CommandInvoked,
    Inbound,
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Removed,
    ReplyView,
)
from bot.policy.access import may_talk
from bot.store.ports.records import StoredMessage
from bot.store.ports.store import Store
from bot.text import clean


class Orchestrator:
    """The flow of messages of one process: the door through which events come in."""

    def __init__(
        self,
        store: Store,
        services: AnswerServices,
        queues: Queues,
        memory: ConversationMemory,
        worker: str,
    ) -> None:
        self._store = store
        self._services = services
        self._queues = queues
        self._memory = memory
        self._earlier = EarlierReplies(store.replies, services.words, services.clock)
        self._dispatcher = Dispatcher(
            store.recovery, services, queues, memory, self._earlier, worker
        )
        self._presses = Presses(store, services.reports, queues, self._dispatcher, services.clock)

    def attach(self, adapter: Adapter) -> None:
        """Serve an adapter, whose account the caller holds."""
        self._dispatcher.attach(adapter)
        self._services.reports.attach(adapter)

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Answer what was left over, then what comes, until cancelled (`Dispatcher.run`)."""
        await self._dispatcher.run(started)

    async def drain(self, grace_s: float) -> None:
        """Finish or hand over what is at work, and begin no more (`Dispatcher.drain`)."""
        await self._dispatcher.drain(grace_s)

    def in_memory(self) -> int:
        """How many messages and queues are held in memory: 0 when nothing is to be done."""
        return self._queues.in_memory()

    async def submit(self, account: str, event: Inbound) -> ReplyView | None:
        """Take an event; stored when this returns. Raises `StoreUnavailable`.

        Gives what to tell the person who pressed a button.
        """
        match event:
            case IncomingMessage() | CommandInvoked():
                await self._admit(account, event)
            case MessageEdited():
                await self._edit(account, event)
            case MessageDeleted():
                await self._withdraw(account, event)
            case ActionInvoked():
                return await self._presses.press(account, event)
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
        if message is not None and not self._dispatcher.take(message):
            self._dispatcher.refuse(message)

    async def _is_shut_out(self, event: IncomingMessage) -> bool:
        """Whether it is certain; whoever could not be checked is told so."""
        where, who = event.conversation, event.author
        settings = await self._services.prompts.settings(where, who)
        is_shut_out = may_talk(settings, where, who) is False
        return is_shut_out and not self._services.is_from_owner(event)

    async def _edit(self, account: str, event: MessageEdited) -> None:
        edited = await self._store.history.edit(account, event.id, clean(event.text))
        if edited is not None and edited.id not in self._queues:
            adapter = self._dispatcher.adapter_of(account)
            self._dispatcher.aside(partial(self._earlier.offer_anew, adapter, edited))

    async def _withdraw(self, account: str, event: MessageDeleted) -> None:
        def is_it(message: StoredMessage) -> bool:
            return message.account == account and message.event.id == event.id

        waiting = [one for one in self._queues.of(account, event.id) if one.phase is Phase.WAITING]
        with self._queues.withdrawing(is_it):
            withdrawn = await self._store.history.withdraw(account, event.id)
        if withdrawn is not None:
            if waiting:  # else whoever answers it removes what is shown
                adapter = self._dispatcher.adapter_of(account)
                self._dispatcher.aside(partial(self._earlier.remove_unfinished, adapter, withdrawn))
            key = conversation_key(event.conversation)
            self._dispatcher.aside(partial(self._memory.forget, key))
