"""What the buttons under an answer do: the one place where a press is dispatched.

Nothing here knows a platform: adapters submit an `ActionInvoked`, and show its presser in private
what `Presses.press` gives.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import assert_never

from bot.comparison.voting import Voting
from bot.errors import NotPermitted, StoreUnavailable, UsageError, UserFacingError
from bot.flow.dispatcher import Dispatcher
from bot.flow.message_life import Phase
from bot.flow.queues import Queues
from bot.flow.reports import Reports
from bot.messages import Action, ActionInvoked, ReplyView
from bot.reply.buttons import STEERING
from bot.store.ports.ratings import Rating
from bot.store.ports.records import StoredMessage
from bot.store.ports.store import Store
from bot.translations import gettext as _

RECORDING_TIMEOUT_S = 1.0
"""For so long an answer that is shown may still be being recorded: a press has to be acknowledged
within 3 s."""


class Presses:
    """Does what buttons ask for. Stop and Retry steer the messages of `dispatcher`."""

    def __init__(
        self,
        store: Store,
        reports: Reports,
        queues: Queues,
        dispatcher: Dispatcher,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._reports = reports
        self._queues = queues
        self._dispatcher = dispatcher
        self._voting = Voting(store.comparisons, clock)
        self._clock = clock

    async def press(self, account: str, event: ActionInvoked) -> ReplyView | None:
        """Do it, and give what to tell the person who pressed; an error is told as well.

        Raises `StoreUnavailable`.
        """
        try:
            asked = await self._store.history.find(account, event.message_id)
            if asked is None:
                raise UsageError(
                    _("That question is not kept any more, so there is nothing to do.")
                )
            _require_permission(event, asked)
            return await self._do(asked, event)
        except StoreUnavailable:
            raise
        except UserFacingError as error:
            return private(error.text)

    async def _do(self, asked: StoredMessage, event: ActionInvoked) -> ReplyView | None:
        match event.action:
            case Action.STOP:
                for life in self._queues.of(asked.account, event.message_id):
                    life.switch.stop()
                return None
            case Action.RETRY:
                return await self._reopen(asked, event)
            case Action.GOOD | Action.BAD:
                return await self._rate(asked, event)
            case Action.KEEP:
                return await self._keep(asked, event)
            case Action.REPORT:
                return await self._report(asked, event)
            case Action.VOTE_A | Action.VOTE_B | Action.VOTE_C | Action.VOTE_D | Action.VOTE_TIE:
                return await self._vote(asked, event)
            case _:
                assert_never(event.action)

    async def _reopen(self, asked: StoredMessage, event: ActionInvoked) -> None:
        """Answer a question again, as it reads now; what a full queue leaves, a rescan takes up."""
        await self._until_recorded(asked)
        now, message_id = self._clock(), event.message_id
        message = await self._store.inbox.reopen(asked.account, message_id, event.id, now)
        if message is not None:
            self._dispatcher.take(message.with_quoted(event.quoted))

    async def _until_recorded(self, asked: StoredMessage) -> None:
        """Let an answer that can be pressed be recorded: the platform shows it a moment before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RECORDING_TIMEOUT_S):
                for life in self._queues.of(asked.account, asked.event.id):
                    if life.phase is Phase.DELIVERING:
                        await life.ended.wait()

    async def _rate(self, asked: StoredMessage, event: ActionInvoked) -> ReplyView:
        """Count a thumb. What was said is kept with it only if who said it agrees."""
        rating, who = Rating(event.action.value), event.author.id
        await self._store.ratings.rate(asked.account, event.message_id, who, rating, self._clock())
        thanks = _("Noted, thank you.")
        if who != asked.event.author.id:
            return private(thanks)
        text = _(
            "{thanks} It counts without a word of what was said. May your question and this answer"
            " be kept with it, to compare models by? You can take that back with `/forget me`."
        )
        return private(text.format(thanks=thanks), (Action.KEEP,))

    async def _keep(self, asked: StoredMessage, event: ActionInvoked) -> ReplyView:
        if event.author.id != asked.event.author.id:
            raise UsageError(_("Only who asked can let the question be kept."))
        is_kept = await self._store.ratings.keep(asked, self._clock())
        if not is_kept:
            raise UsageError(_("There is no rated answer of a model to keep here."))
        return private(_("Kept, thank you: your question, this answer and your rating."))

    async def _report(self, asked: StoredMessage, event: ActionInvoked) -> ReplyView:
        shown = await self._store.replies.to(asked.account, event.message_id)
        if shown is None:
            raise UsageError(_("That answer is not kept any more, so it cannot be reported."))
        return private(await self._reports.send(shown, event.author, event.conversation))

    async def _vote(self, asked: StoredMessage, event: ActionInvoked) -> ReplyView:
        """Count a vote; once the asker has voted, the comparison shows its models to everyone."""
        round_ = await self._store.comparisons.find(asked.id)
        if round_ is None:
            raise UsageError(_("These answers are being made anew; vote when they are there."))
        counted = await self._voting.cast(round_, event.author, event.action)
        if counted.is_by_asker:
            await self._reopen(asked, event)
        return private(counted.text)


def _require_permission(event: ActionInvoked, asked: StoredMessage) -> None:
    """Raises `NotPermitted` where an answer is not theirs to stop or to ask for again."""
    is_theirs = event.author.id == asked.event.author.id or event.author.can_manage
    if event.action in STEERING and not is_theirs:
        text = _("Only who asked, or who manages this channel, can do that with this answer.")
        raise NotPermitted(text)


def private(text: str, actions: tuple[Action, ...] = ()) -> ReplyView:
    """What is told to one member alone."""
    return ReplyView(
        text,
        stable_chars=len(text),
        is_complete=True,
        is_last=True,
        is_private=True,
        actions=actions,
    )
