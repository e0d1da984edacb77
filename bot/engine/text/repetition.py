"""Noticing that a text has begun to repeat itself and will not stop by itself.

Small models, and others at a low temperature, fall into cycles that end at the length limit only.
It knows tokens and neither models nor torch. Servers send text without its tokens: there words and
marks stand for them.
"""

import re
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


PIECE = re.compile(r"[^\S\n]?[^\W\u0e00-\U0010ffff]{1,8}|.", re.DOTALL)
"""About what a token is: up to eight letters with the space before them, or one character of
anything else. The scripts from Thai on, which include those that are written without spaces, go by
the character."""

UNFINISHED = 9
"""Characters at the end of a text that more of it may still make another piece of."""


class TextCycleWatch:
    """Follows one text whose tokens nobody knows, in parts of any length."""

    def __init__(self, begun: str = "") -> None:
        self._ids: dict[str, int] = {}
        self._pieces: list[str] = []
        self._rest = ""
        self._watch = CycleWatch(self._decode)
        self.push(begun)

    def push(self, text: str) -> bool:
        """Take more of the text; whether it is to be stopped after it."""
        self._rest += text
        is_repeating, at = False, 0
        for found in PIECE.finditer(self._rest):
            if found.start() > len(self._rest) - UNFINISHED:
                break
            is_repeating |= self._watch.push(self._id(found.group()))
            at = found.end()
        self._rest = self._rest[at:]
        return is_repeating

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._pieces)
            self._pieces.append(piece)
        return self._ids[piece]

    def _decode(self, ids: Sequence[int]) -> str:
        return "".join(self._pieces[id_] for id_ in ids)
