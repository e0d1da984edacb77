"""What the buttons under an answer do that are for everyone: ratings, votes and reports.

Stop and Retry steer the flow of messages; they stand in `orchestrator.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bot.comparison.voting import Voting
from bot.errors import UsageError
from bot.flow.reports import Reports
from bot.messages import Action, ActionInvoked, ReplyView
from bot.store.ports.ratings import Rating
from bot.store.ports.records import StoredMessage
from bot.store.ports.store import Store
from bot.translations import gettext as _


@dataclass(frozen=True, slots=True)
class Pressed:
    """What came of a press: what to tell who pressed, and whether the answer is shown anew."""

    told: ReplyView
    is_shown_anew: bool = False


class Presses:
    """Does what buttons ask for. Raises `UserFacingError` with what to tell who pressed."""

    def __init__(self, store: Store, reports: Reports, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._reports = reports
        self._voting = Voting(store.comparisons, clock)
        self._clock = clock

    async def press(self, asked: StoredMessage, event: ActionInvoked) -> Pressed:
        """Do it."""
        match event.action:
            case Action.GOOD | Action.BAD:
                return Pressed(await self._rate(asked, event))
            case Action.KEEP:
                return Pressed(await self._keep(asked, event))
            case Action.REPORT:
                return Pressed(private(await self._report(asked, event)))
            case Action.VOTE_A | Action.VOTE_B | Action.VOTE_C | Action.VOTE_D | Action.VOTE_TIE:
                return await self._vote(asked, event)
            case Action.STOP | Action.RETRY:
                raise AssertionError("these steer the flow")

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

    async def _report(self, asked: StoredMessage, event: ActionInvoked) -> str:
        shown = await self._store.replies.to(asked.account, event.message_id)
        if shown is None:
            raise UsageError(_("That answer is not kept any more, so it cannot be reported."))
        return await self._reports.send(shown, event.author, event.conversation)

    async def _vote(self, asked: StoredMessage, event: ActionInvoked) -> Pressed:
        """Count a vote; once who asked has voted, the comparison shows its models to everyone."""
        round_ = await self._store.comparisons.find(asked.id)
        if round_ is None:
            raise UsageError(_("These answers are being made anew; vote when they are there."))
        counted = await self._voting.cast(round_, event.author, event.action)
        return Pressed(private(counted.text), is_shown_anew=counted.is_by_asker)


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
