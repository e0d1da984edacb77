"""Noticing that a text has begun to repeat itself and will not stop by itself.

Small models, and others at a low temperature, fall into cycles that end at the length limit only.
It knows tokens and neither models nor torch.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

LONGEST_CYCLE = 64
"""Tokens of the longest cycle that is noticed."""

REPETITIONS = 6

WATCHED_TOKENS = REPETITIONS * LONGEST_CYCLE
"""Of what was written before, this many of the last tokens matter."""

WORDLESS_REPETITIONS = 48
"""A cycle without a letter is mostly wanted: a rule, a row of emoji, the empty rows of a table, the
zeros of a grid."""

LEAST_TOKENS = 64
"""Whatever the cycle's length, a text is stopped only after so many tokens of it: laughter, or a
word that somebody wants written twenty times, is shorter. From eleven tokens on, six repetitions
are longer than this."""


def _tokens_needed(cycle: int, repetitions: int) -> int:
    """Tokens that repeat what stood one cycle before, the first occurrence not counted."""
    return max(repetitions * cycle, LEAST_TOKENS) - cycle


_NEEDED = [_tokens_needed(cycle, REPETITIONS) for cycle in range(1, LONGEST_CYCLE + 1)]
_LEAST_NEEDED = min(_NEEDED)


class CycleWatch:
    """Follows one text token by token. `decode` gives the text of ids.

    For each possible length of a cycle it counts how many of the last tokens equal the one that
    stood so far before them, so that a token costs the same however long the text is.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], begun: Iterable[int] = ()) -> None:
        self._decode = decode
        self._latest: deque[int | None] = deque([None] * LONGEST_CYCLE, maxlen=LONGEST_CYCLE)
        self._repeated = [0] * LONGEST_CYCLE
        for token in begun:
            self._take(token)

    def push(self, token: int) -> bool:
        """Take the next token; whether the text is to be stopped after it."""
        self._take(token)
        if max(self._repeated) < _LEAST_NEEDED:
            return False
        return any(
            repeated >= needed and self._is_unwanted(cycle, repeated)
            for cycle, (repeated, needed) in enumerate(zip(self._repeated, _NEEDED, strict=True), 1)
        )

    def _take(self, token: int) -> None:
        # The newest of the latest tokens is the first: its index is a cycle's length, less one.
        self._repeated = [
            count + 1 if earlier == token else 0
            for count, earlier in zip(self._repeated, self._latest, strict=True)
        ]
        self._latest.appendleft(token)

    def _is_unwanted(self, cycle: int, repeated: int) -> bool:
        if repeated >= _tokens_needed(cycle, WORDLESS_REPETITIONS):
            return True
        tokens = [token for token in list(self._latest)[:cycle] if token is not None]
        return any(character.isalpha() for character in self._decode(tokens[::-1]))
