"""How a question is put, and its answer given, so that an outsider can judge what became of it.

Every word of an answer carries the nonce of its question and its own number, `q1f0a9c-1` to
`q1f0a9c-440`: a word that is lost, repeated or in another place shows. Of a question that asks what
the model remembers, the answer ends with the nonces in its context, `seen=q1f0a9c`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_QUESTION = re.compile(r"(q[0-9a-f]{6}): (\d+) words in (\d+\.\d+) s(, and what you remember)?")
_WORD = re.compile(r"(q[0-9a-f]{6})-(\d+)")
_SEEN = re.compile(r"seen=(q[0-9a-f]{6})")
_NONCE = re.compile(r"q[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The answer that a question wants: so many words in so many seconds."""

    nonce: str
    words: int
    seconds: float
    recalls: bool = False

    def question(self) -> str:
        """What is asked."""
        also = ", and what you remember" if self.recalls else ""
        return f"{self.nonce}: {self.words} words in {self.seconds:.2f} s{also}"

    def answer(self, context: str = "") -> list[str]:
        """The words of the answer of a model that sees this text before the question."""
        words = [f"{self.nonce}-{number}" for number in range(1, self.words + 1)]
        # What another's answer only says that it saw was said by nobody here.
        said = _SEEN.sub("", context)
        known = dict.fromkeys(_NONCE.findall(said)) if self.recalls else {}
        return words + [f"seen={one}" for one in known if one != self.nonce]


def wanted(text: str) -> Wanted | None:
    """The last question in a text."""
    found = _QUESTION.findall(text)
    if not found:
        return None
    nonce, words, seconds, recalls = found[-1]
    return Wanted(nonce, int(words), float(seconds), bool(recalls))


def words_of(text: str) -> Sequence[tuple[str, int]]:
    """The words of answers in a text, each as its nonce and number."""
    return [(nonce, int(number)) for nonce, number in _WORD.findall(text)]


def seen_in(text: str) -> Sequence[str]:
    """The nonces that an answer says were in its context."""
    return _SEEN.findall(text)
