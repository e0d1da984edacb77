"""The life of a message that is to be answered: the states it can be in, and what can follow.

Three things have a state. The message itself and each attempt at its answer are in the store, where
they outlive the process; the phase is in the memory of the process that answers it now.

    the message   RECEIVED -> ANSWERED | FAILED -> RECEIVED    (asked again by Retry)
    (MessageState)            ANSWERED | FAILED -> UNDONE      (it leaves the context)
                  any of these -> WITHDRAWN                    (its author deleted it)

    an attempt    ANSWERING -> ANSWERED | FAILED               (finished, or handed back)
    (ReplyState)  ANSWERING -> INTERRUPTED | FAILED            (its process died)
                  ANSWERING -> CANCELLED                       (its message was withdrawn)
                  any of these -> REPLACED                     (asked again by Retry)

    the phase     see `TRANSITIONS`; only a message that is RECEIVED has one

`bot/store/sql` keeps the first two, and `dispatcher.py` leads a message through the third.
"""

import asyncio
from collections.abc import Mapping
from enum import StrEnum

from bot.concurrency import StopSwitch
from bot.errors import UserFacingError
from bot.store.ports.records import StoredMessage


class Phase(StrEnum):
    """How far a message has come in this process."""

    WAITING = "waiting"
    """In its queue, then for its turn in the forward pass. Nobody has claimed it."""

    ANSWERING = "answering"
    """It is claimed, and its text is being made."""

    DELIVERING = "delivering"
    """The text is finished and stored; only the platform is waited for."""

    ENDED = "ended"
    """This process is done with it: it has its answer, or stays in the store for later."""


TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.WAITING: frozenset({Phase.ANSWERING, Phase.ENDED}),
    # Where the store is away a message keeps its place, and is tried again.
    Phase.ANSWERING: frozenset({Phase.WAITING, Phase.DELIVERING, Phase.ENDED}),
    # What fails while it is delivered is answered again, by an apology.
    Phase.DELIVERING: frozenset({Phase.WAITING, Phase.ANSWERING, Phase.ENDED}),
    Phase.ENDED: frozenset(),
}


class MessageLife:
    """One message from queued to ended, with all that this process knows of it.

    One that `is_immediate` waits for no other; one that `is_left_over` was found in the store and
    may be too old to be answered; `refusal`, where there is one, is its answer. `is_withdrawn` says
    that its author took it back, so that what is shown of its answer goes; `forgotten` are the keys
    of conversations whose traces in memory go when it has ended.
    """

    def __init__(
        self,
        message: StoredMessage,
        *,
        is_immediate: bool = False,
        is_left_over: bool = False,
        refusal: UserFacingError | None = None,
    ) -> None:
        self.message = message
        self.is_immediate = is_immediate
        self.is_left_over = is_left_over
        self.refusal = refusal
        self.is_withdrawn = False
        self.forgotten: set[str] = set()
        self.switch = StopSwitch()
        self.ended = asyncio.Event()
        self._phase = Phase.WAITING

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        return self._phase

    @property
    def is_unanswered(self) -> bool:
        """Whether its text is still to come."""
        return self._phase in (Phase.WAITING, Phase.ANSWERING)

    def enter(self, phase: Phase) -> None:
        """Go on to another phase."""
        if phase is not self._phase:
            assert phase in TRANSITIONS[self._phase], f"{self._phase} is not followed by {phase}"
            self._phase = phase
        if phase is Phase.ENDED:
            self.ended.set()
