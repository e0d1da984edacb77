"""Which models people prefer, from their votes (pure).

A vote for one of several answers beats each of the others; a tie is half a win for each pair. The
ratings are Bradley-Terry strengths, found by the MM algorithm of D. R. Hunter, "MM algorithms for
generalized Bradley-Terry models", Annals of Statistics 32 (2004), on the Elo scale: 400 points
are odds of ten to one, 1000 is the average. Each pair that met starts with one drawn vote, so that
a model without a win has a rating too.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from bot.store.ports.comparisons import Vote
from bot.translations import gettext as _
from bot.translations import ngettext

MEAN, SCALE = 1000.0, 400.0
ITERATIONS = 200

Wins = Mapping[tuple[str, str], float]
"""How often the first of two models beat the second; half for a tie."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One model's place: its rating, and the votes that it won of those that it took part in."""

    model: str
    rating: float
    wins: int
    ties: int
    votes: int


def standings(votes: Sequence[Vote]) -> list[Standing]:
    """All models that were voted on, the best first."""
    ratings = _ratings(_wins(votes))
    found = [
        Standing(
            model,
            rating,
            wins=sum(vote.winner == model for vote in votes),
            ties=sum(vote.winner is None and model in vote.models for vote in votes),
            votes=sum(model in vote.models for vote in votes),
        )
        for model, rating in ratings.items()
    ]
    return sorted(found, key=lambda one: (-one.rating, one.model))


def table(ranked: Sequence[Standing], votes: Sequence[Vote]) -> str:
    """The standings in CommonMark: a table in a code block, which every platform lines up."""
    headings = ("#", _("model"), _("rating"), _("won"), _("ties"), _("votes"))
    rows = [
        (
            str(place),
            one.model,
            f"{one.rating:.0f}",
            str(one.wins),
            str(one.ties),
            str(one.votes),
        )
        for place, one in enumerate(ranked, 1)
    ]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [_line(row, widths) for row in (headings, *rows)]
    blind = sum(vote.was_blind for vote in votes)
    count = ngettext("{count} vote", "{count} votes", len(votes)).format(count=len(votes))
    said = _("{count}, {blind} of them blind. 400 points more are odds of ten to one.")
    return "\n".join(["```", *lines, "```", said.format(count=count, blind=blind)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The model's name to the left, numbers to the right."""
    padded = [
        cell.ljust(width) if index == 1 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _wins(votes: Sequence[Vote]) -> Wins:
    wins: defaultdict[tuple[str, str], float] = defaultdict(float)
    for vote in votes:
        for one, other in permutations(vote.models, 2):
            share = 0.5 if vote.winner is None else float(vote.winner == one)
            wins[one, other] += share
    return {pair: count + 0.5 for pair, count in wins.items()}


def _ratings(wins: Wins) -> dict[str, float]:
    strengths = {model: 1.0 for model, _other in wins}
    for _round in range(ITERATIONS):
        strengths = {model: _stronger(model, wins, strengths) for model in strengths}
        mean = math.exp(sum(map(math.log, strengths.values())) / len(strengths))
        strengths = {model: strength / mean for model, strength in strengths.items()}
    return {model: MEAN + SCALE * math.log10(strength) for model, strength in strengths.items()}


def _stronger(model: str, wins: Wins, strengths: Mapping[str, float]) -> float:
    """One step of the algorithm: wins over the meetings, each weighed by both strengths."""
    others = [other for one, other in wins if one == model]
    won = sum(wins[model, other] for other in others)
    met = sum(
        (wins[model, other] + wins[other, model]) / (strengths[model] + strengths[other])
        for other in others
    )
    return won / met
