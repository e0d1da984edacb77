"""One attempt at an answer: the message is claimed, answered, and given back if need be.

It follows one message and knows no other: which one comes when is the dispatcher's business, and
how one is answered that of `answering.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from bot.adapter import Adapter
from bot.concurrency import beside
from bot.errors import LeaseLost, StoreUnavailable, UserFacingError, without_text
from bot.flow.answering import Answering
from bot.flow.message_life import MessageLife, Phase
from bot.flow.services import AnswerServices
from bot.messages import IncomingMessage
from bot.store.ports.inbox import Claim
from bot.store.ports.records import ReplyState
from bot.translations import gettext as _

HAND_OVER_PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""Between tries to give a message back while the database fails."""

IN_A_HURRY = 2
"""So many of those tries are made where the process is to end."""

log = logging.getLogger(__name__)


class Attempts:
    """Answers messages under leases of `lease_s` seconds that `worker` holds."""

    def __init__(
        self,
        services: AnswerServices,
        worker: str,
        lease_s: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._services = services
        self._worker = worker
        self._lease = timedelta(seconds=lease_s)
        self._sleep = sleep
        self._pauses_s = HAND_OVER_PAUSES_S

    async def answer(self, life: MessageLife, adapter: Adapter, inside: AsyncExitStack) -> bool:
        """Answer one message; whether it has its answer now.

        `inside` is the forward pass that it is in: it is left when the text is finished. Only a
        cancellation escapes, and `StoreUnavailable`: then it was given back, to be tried again.
        """
        message_id = life.message.id
        try:
            claim = await self._claim(life)
            if claim is None:
                return False
            await self._answer_claimed(claim, life, adapter, inside)
        except LeaseLost:
            log.info("another process, or its withdrawal, ended message %d", message_id)
        except StoreUnavailable:
            raise
        except Exception as error:
            log.error("message %d was given up: %s", message_id, without_text(error))
        else:
            return True
        return False

    def hurry(self) -> None:
        """Try less often to give a message back from now on: the process is to end."""
        self._pauses_s = HAND_OVER_PAUSES_S[:IN_A_HURRY]

    async def _claim(self, life: MessageLife) -> Claim | None:
        now, event = self._services.clock(), life.message.event
        message_id, lease_until = life.message.id, now + self._lease
        claim = await self._services.inbox.claim(message_id, self._worker, now, lease_until)
        if claim is None or not isinstance(event, IncomingMessage):
            return claim
        return replace(claim, message=claim.message.with_quoted(event.quoted))

    async def _answer_claimed(
        self, claim: Claim, life: MessageLife, adapter: Adapter, inside: AsyncExitStack
    ) -> None:
        life.enter(Phase.ANSWERING)
        answering = Answering(self._services, adapter, claim, life)
        try:
            async with beside(self._renew(claim), is_joined=False):
                await _answer_or_apologise(answering, life, inside)
        except (asyncio.CancelledError, StoreUnavailable):
            await asyncio.shield(self._hand_over(claim))
            raise
        except LeaseLost:
            if life.is_withdrawn:
                await answering.remove_shown()
            raise

    async def _hand_over(self, claim: Claim) -> None:
        """Give an unfinished message back, to be answered later: that is no crash."""
        for pause_s in self._pauses_s:
            try:
                await self._services.inbox.release(claim)
            except LeaseLost:
                return
            except StoreUnavailable as error:
                log.warning("message %d is not handed over yet: %s", claim.message.id, error.text)
                await self._sleep(pause_s)
            else:
                return

    async def _renew(self, claim: Claim) -> None:
        while True:
            await self._sleep(self._lease.total_seconds() / 3)
            try:
                await self._services.inbox.renew(claim, self._services.clock() + self._lease)
            except StoreUnavailable as error:
                log.warning("a lease was not renewed: %s", error.text)


async def _answer_or_apologise(
    answering: Answering, life: MessageLife, inside: AsyncExitStack
) -> None:
    """Answer; where that fails say so, and where even that fails end it as failed."""
    apology = UserFacingError(_("Something went wrong on my side. Please ask again."))
    for said in (life.refusal, apology):
        try:
            life.enter(Phase.ANSWERING)
            made = await answering.make(said)
            life.enter(Phase.DELIVERING)
            await inside.aclose()
            await answering.deliver(made)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            log.error("message %d failed: %s", life.message.id, without_text(error))
        else:
            return
    await answering.end(ReplyState.FAILED)
