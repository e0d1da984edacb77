"""The answers that are being made: each message is claimed, answered, and given back if need be.

Which message comes when is decided before (`queues.py`); how one is answered stands in
`answering.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

from bot.adapter import Adapter
from bot.concurrency import beside
from bot.errors import LeaseLost, StoreUnavailable, UserFacingError, without_text
from bot.flow.answering import Answering
from bot.flow.forward_pass import ForwardPass
from bot.flow.services import AnswerServices
from bot.messages import IncomingMessage, Quoted
from bot.store.ports.inbox import Claim
from bot.store.ports.records import ReplyState, StoredMessage
from bot.translations import gettext as _

HAND_OVER_PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""Between tries to give a message back while the database fails."""

log = logging.getLogger(__name__)


class Attempts:
    """Answers messages under leases of `lease_s` seconds that `worker` holds.

    `adapters` are those of each account; `on_answered` is told of each message that was answered.
    Once it `is_draining` no further answer is begun.
    """

    def __init__(
        self,
        services: AnswerServices,
        adapters: Mapping[str, Adapter],
        worker: str,
        lease_s: float,
        on_answered: Callable[[StoredMessage], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.is_draining = False
        self._services = services
        self._adapters = adapters
        self._worker = worker
        self._lease = timedelta(seconds=lease_s)
        self._on_answered = on_answered
        self._sleep = sleep
        self._running: dict[int, Answering] = {}
        self._forward_pass = ForwardPass()
        self._stopped: set[int] = set()
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def answer(
        self,
        message: StoredMessage,
        refusal: UserFacingError | None,
        *,
        is_left_over: bool,
        is_immediate: bool = False,
    ) -> None:
        """The top of one answer: nothing escapes from here but a cancellation.

        With `refusal` its text is the answer; with `is_left_over` it may be too old for one. What
        `is_immediate` waits for nobody.
        """
        self._in_progress += 1
        self._idle.clear()
        try:
            async with AsyncExitStack() as entered:
                if refusal is None and not is_immediate:
                    turn = self._forward_pass.entered(alone=message.is_suspect)
                    await entered.enter_async_context(turn)
                if not self.is_draining:
                    await self._answer_in_turn(message, refusal, entered, is_left_over)
        except LeaseLost:
            log.info("another process, or its withdrawal, ended message %d", message.id)
        except StoreUnavailable as error:
            log.error("message %d waits for the database: %s", message.id, error.text)
        except Exception as error:
            log.error("message %d was given up: %s", message.id, without_text(error))
        finally:
            self._stopped.discard(message.id)
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()

    async def _answer_in_turn(
        self,
        message: StoredMessage,
        refusal: UserFacingError | None,
        entered: AsyncExitStack,
        is_left_over: bool,
    ) -> None:
        claim = await self._claim(message)
        if claim is not None:
            adapter = self._adapters[claim.message.account]
            answering = Answering(
                self._services, adapter, claim, entered.aclose, is_left_over=is_left_over
            )
            await self._answer_claimed(claim, answering, refusal)

    async def drain(self, grace_s: float) -> None:
        """Begin no further answer, and wait until those that run have ended or time is up."""
        self.is_draining = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)

    def is_delivering(self, message_id: int) -> bool:
        """Whether the answer is made, and only the platform is waited for."""
        return message_id in self._running and self._running[message_id].is_delivering

    def stop(self, message_id: int) -> None:
        """End the answer to a message, or that which it is still to get."""
        if message_id in self._running:
            self._running[message_id].stop()
        else:
            self._stopped.add(message_id)

    @contextmanager
    def withdrawing(self, message_ids: Collection[int]) -> Generator[int]:
        """End the answers to questions that the block removes from the store, and delete what is
        shown of them; gives how many questions those are."""

        def running() -> list[Answering]:
            return [self._running[one] for one in message_ids if one in self._running]

        for answering in running():
            # Before the store knows: the claim is lost from then on, and whoever sees that clears.
            answering.is_withdrawn = True
        try:
            yield len(message_ids)
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

    async def _claim(self, message: StoredMessage) -> Claim | None:
        now = self._services.clock()
        claim = await self._services.inbox.claim(message.id, self._worker, now, now + self._lease)
        if claim is None or not isinstance(message.event, IncomingMessage):
            return claim
        return replace(claim, message=with_quoted(claim.message, message.event.quoted))

    async def _answer_claimed(
        self, claim: Claim, answering: Answering, refusal: UserFacingError | None
    ) -> None:
        message_id = claim.message.id
        self._running[message_id] = answering
        if message_id in self._stopped:
            answering.stop()
        try:
            async with beside(self._renew(claim), is_joined=False):
                await _run_or_apologise(answering, refusal)
            self._on_answered(claim.message)
        except (asyncio.CancelledError, StoreUnavailable):
            await asyncio.shield(self._hand_over(claim))
            raise
        except LeaseLost:
            if answering.is_withdrawn:
                await answering.remove_shown()
            raise
        finally:
            del self._running[message_id]
            for key in () if self.is_draining else answering.forgotten:
                await self._drop(key)

    async def _hand_over(self, claim: Claim) -> None:
        """Give an unfinished message back, to be answered later: that is no crash."""
        for pause_s in HAND_OVER_PAUSES_S[: 2 if self.is_draining else None]:
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


async def _run_or_apologise(answering: Answering, refusal: UserFacingError | None) -> None:
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


def with_quoted(message: StoredMessage, quoted: tuple[Quoted, ...]) -> StoredMessage:
    """The message with what it quotes: live context, which the store does not keep."""
    if not isinstance(message.event, IncomingMessage):
        return message
    return replace(message, event=replace(message.event, quoted=quoted))
