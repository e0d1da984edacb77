"""Votes on comparisons: who may be told what, and what a vote means (no platform, no model)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from bot.errors import UsageError
from bot.messages import Action, Author
from bot.reply.buttons import VOTES, letter
from bot.store.ports.comparisons import Comparisons, Round, Vote
from bot.translations import gettext as _

MIN_ANSWERS = 2
"""Fewer answers are nothing to choose from."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A vote that was kept: its round as it is now, and what to tell its voter.

    `is_by_asker` says that who asked has voted: from then on everybody sees the models.
    """

    round: Round
    text: str
    is_by_asker: bool


class Voting:
    """Keeps votes."""

    def __init__(self, comparisons: Comparisons, clock: Callable[[], datetime]) -> None:
        self._comparisons = comparisons
        self._clock = clock

    async def cast(self, round_: Round, voter: Author, action: Action) -> Counted:
        """Keep a vote, instead of an earlier one. Raises `UsageError` if it is for no answer."""
        if action not in offered(round_):
            raise UsageError(
                _("There is no answer {letter} to choose here.").format(letter=name_of(action))
            )
        winner = None if action is Action.VOTE_TIE else round_.models[VOTES.index(action)]
        is_by_asker = voter.id == round_.message.event.author.id
        was_blind = round_.is_blind and not round_.is_revealed
        vote = Vote(voter.id, round_.models, winner, was_blind, self._clock())
        await self._comparisons.vote(round_, vote, reveals=is_by_asker)
        now = replace(round_, is_revealed=round_.is_revealed or is_by_asker)
        return Counted(now, _told(now, action, winner), is_by_asker)


def offered(round_: Round) -> tuple[Action, ...]:
    """The votes that can be cast: none where fewer than two models gave an answer."""
    answers = zip(VOTES, round_.answers, strict=False)
    votes = [vote for vote, answer in answers if not answer.is_error]
    return (*votes, Action.VOTE_TIE) if len(votes) >= MIN_ANSWERS else ()


def name_of(action: Action) -> str:
    """What a vote is for, in a word."""
    return _("tie") if action is Action.VOTE_TIE else letter(VOTES.index(action))


def _told(round_: Round, action: Action, winner: str | None) -> str:
    if winner is None:
        return _("Your vote is counted: a tie.")
    if not round_.is_revealed:
        text = _("Your vote is counted: {letter}. {name} asked, and must vote to see the models.")
        name = round_.message.event.author.name
        return text.format(letter=name_of(action), name=name)
    text = _("Your vote is counted: {letter}, which is {model}.")
    return text.format(letter=name_of(action), model=winner)
