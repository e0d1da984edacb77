"""Cleaning what people and models write (pure)."""

import unicodedata
from itertools import takewhile

_KEPT_CONTROLS = "\n\t"
_ALLOWED_FORMATS = "\u200c\u200d\u200e\u200f\u061c\u2066\u2067\u2068\u2069"
"""Joiners, and the marks that right-to-left text needs."""

LEAST_REPETITIONS = 4
"""So often, after its first time, has a cycle to be said to be left out. Answers are stopped for
repeating themselves after more (`bot.engine.text.repetition`)."""


def clean(text: str) -> str:
    """The text without control characters and lone surrogates, line ends as "\\n", stripped.

    Combining marks, joiners and the marks of right-to-left text stay; bidirectional overrides,
    which can make a text read as another, go.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(character for character in unified if _is_kept(character)).strip()


def without_repeated_end(text: str) -> str:
    """The text with what it repeats at its end kept once: said again and again, a model that reads
    it would go on with it.

    Of all lengths of a cycle the one counts whose repetitions reach farthest back.
    """
    repeated = {period: _repeated_chars(text, period) for period in range(1, len(text) // 2)}
    cycles = [period for period, count in repeated.items() if count >= LEAST_REPETITIONS * period]
    if not cycles:
        return text
    # A multiple of a cycle reaches one cycle less far, so that the shortest wins.
    longest = max(cycles, key=lambda period: repeated[period])
    return text[: len(text) - repeated[longest]].rstrip()


def _repeated_chars(text: str, period: int) -> int:
    """How many characters at the end equal the one that stands `period` before them."""
    pairs = zip(reversed(text), reversed(text[:-period]), strict=False)
    return sum(1 for _pair in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _is_kept(character: str) -> bool:
    if character in _KEPT_CONTROLS or character in _ALLOWED_FORMATS:
        return True
    return unicodedata.category(character) not in {"Cc", "Cs", "Cf"}
