"""The owner's word list: what a model wrote is masked, or held back, before anybody sees it (pure).

A word is found whatever its case and width, also with characters of no width inside; a "*" at its
end stands for any ending. It is a list of words, no judgement of what is said.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal

from bot.translations import gettext as _

Action = Literal["hold", "mask"]

MASK = "█"
_NO_WIDTH = "[\u00ad\u200b-\u200d\u2060\ufeff]*"
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]*_]*\s|[\u3002\uff01\uff1f]|\n")
"""After a full stop and a space, after a full-width one, or at a line's end."""

LOOK_BACK = 1000
"""Characters of what was let through that are looked at again with each sentence."""


class WordList:
    """The words, and what becomes of an answer with one of them."""

    def __init__(self, words: Sequence[str] = (), action: Action = "hold") -> None:
        patterns = [_pattern(word) for word in words if word.strip("* ")]
        self._found = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
        self._action = action

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for."""
        return self._found is None

    def allowed(self, text: str) -> str | None:
        """The text as it may be shown; None if it is held back."""
        if self._found is None or self._found.search(_folded(text)) is None:
            return text
        if self._action == "hold":
            return None
        return _masked(text, self._found)


class SentenceGate:
    """Lets a growing text through a sentence at a time, once it is known to be allowed.

    Some words may be more than one and reach over the end of a sentence: each is looked at with
    what came before it.
    Without words to look for everything passes at once. After a sentence that is held back nothing
    passes any more: `is_shut`.
    """

    def __init__(self, words: WordList, feed: Callable[[str], None]) -> None:
        self._words = words
        self._feed = feed
        self._waiting = ""
        self._before = ""
        self.is_shut = False

    def add(self, text: str) -> None:
        """More of the text."""
        if self._words.is_empty:
            self._feed(text)
            return
        self._waiting += text
        ends = [match.end() for match in _SENTENCE_END.finditer(self._waiting)]
        if ends:
            self._let_through(ends[-1])

    def end(self) -> None:
        """No more comes: the last words are a sentence too."""
        self._let_through(len(self._waiting))

    def _let_through(self, length: int) -> None:
        sentence, self._waiting = self._waiting[:length], self._waiting[length:]
        allowed = self._words.allowed(self._before + sentence)
        self.is_shut = self.is_shut or allowed is None
        if allowed and not self.is_shut:
            self._feed(allowed[len(self._before) :])
        self._before = _end_of(self._before + sentence)


def _end_of(text: str) -> str:
    """The last words: enough for what is looked for to have begun in them."""
    space = re.compile(r"\s").search(text, max(0, len(text) - LOOK_BACK))
    return text if len(text) <= LOOK_BACK or space is None else text[space.start() :]


def held_back() -> str:
    """What is said instead of an answer that is held back."""
    return _("I hold this answer back: it has words in it that are not to be posted here.")


def _pattern(word: str) -> str:
    stem = word.strip().removesuffix("*")
    letters = _NO_WIDTH.join(
        r"\s+" if letter == " " else re.escape(letter) for letter in _folded(" ".join(stem.split()))
    )
    ending = r"\w*" if word.strip().endswith("*") else r"(?!\w)"
    return rf"(?<!\w){letters}{ending}"


def _folded(text: str) -> str:
    """The text with wide and styled letters as plain ones, each still one character."""
    return "".join(_plain(character) for character in text)


def _plain(character: str) -> str:
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character


def _masked(text: str, found: re.Pattern[str]) -> str:
    """The text with each word blacked out; its places are those of the folded text."""
    pieces: list[str] = []
    last = 0
    for match in found.finditer(_folded(text)):
        pieces += [text[last : match.start()], MASK * len(match[0])]
        last = match.end()
    return "".join([*pieces, text[last:]])
