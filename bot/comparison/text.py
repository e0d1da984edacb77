"""A comparison as text: each model's answer in a quotation under its letter (pure).

What is shown while it grows begins the text of the whole, so that a platform that can only append
shows the same.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from bot.reply.buttons import letter
from bot.store.ports.comparisons import Contender, Round, Vote
from bot.translations import gettext as _
from bot.translations import ngettext


class GrowingRound:
    """Feeds the answers one after another; `is_blind` leaves out names and figures."""

    def __init__(self, feed: Callable[[str], None], *, is_blind: bool) -> None:
        self._feed = feed
        self._is_blind = is_blind
        self._begun = 0
        self._space = ""

    def begin(self, model: str) -> None:
        """The next answer begins."""
        gap = "\n\n" if self._begun else ""
        self._feed(gap + heading(self._begun, None if self._is_blind else model) + "\n> ")
        self._begun += 1
        self._space = ""

    def add(self, text: str, *, is_first: bool) -> None:
        """More of the answer; white space waits for the word after it."""
        text = self._space + text
        if is_first:
            text = text.lstrip()
        kept = text.rstrip()
        self._space = text[len(kept) :]
        self._feed(_quoted(kept))

    def end(self, answer: Contender) -> None:
        """The answer is whole."""
        self._feed(_figures(answer, is_blind=self._is_blind))


def whole(round_: Round, votes: Sequence[Vote] = ()) -> str:
    """All answers, with their models and votes unless they are still hidden."""
    is_blind = round_.is_blind and not round_.is_revealed
    counts = Counter(vote.winner for vote in votes)
    parts: list[str] = []
    for position, answer in enumerate(round_.answers):
        title = heading(position, None if is_blind else answer.model)
        if not is_blind and counts[answer.model]:
            title += " · " + count_of_votes(counts[answer.model])
        figures = _figures(answer, is_blind=is_blind)
        parts.append(f"{title}\n> {_quoted(answer.text.strip())}{figures}")
    return "\n\n".join(parts)


def heading(position: int, model: str | None) -> str:
    """The line above an answer: its letter, and its model where that is told."""
    return f"**{letter(position)}**" if model is None else f"**{letter(position)} · {model}**"


def count_of_votes(count: int) -> str:
    """ "2 votes"."""
    return ngettext("{count} vote", "{count} votes", count).format(count=count)


def _quoted(text: str) -> str:
    return text.replace("\n", "\n> ")


def _figures(answer: Contender, *, is_blind: bool) -> str:
    if is_blind or answer.is_error or answer.seconds is None:
        return ""
    parts = [_("{seconds:.1f} s").format(seconds=answer.seconds)]
    if answer.tokens_per_s is not None:
        parts.append(_("{speed:.0f} tokens/s").format(speed=answer.tokens_per_s))
    return f"\n*{' · '.join(parts)}*"
