"""From token ids to what is shown: whole characters, no special token, no stop string.

`Detokenizer` turns ids into text; `AnswerSplitter` tells answer from reasoning and stops at stop
strings. Neither knows a model.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from bot.engine.base import ReasoningDelta, TextDelta

REPLACEMENT = "\ufffd"
"""What decoding gives for bytes that are not a whole character yet."""

LONGEST_CHARACTER = 4
"""Bytes, and so tokens at most, of one character."""

OPEN_TAG = "<think>"
CLOSE_TAG = "</think>"


class Detokenizer:
    """Decodes ids one by one; the deltas together are the decoding of the whole.

    `special_ids` are dropped, `tags` are shown as the given text. Only a short window is decoded
    anew at each step: the tokens since the last emission and, as context, those of that emission,
    because decoders treat the first token's space differently.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        special_ids: Collection[int] = (),
        tags: Mapping[int, str] | None = None,
    ) -> None:
        self._decode = decode
        self._special_ids = special_ids
        self._tags = tags or {}
        self._ids: list[int] = []
        self._context = 0

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is incomplete."""
        if token in self._tags:
            return self.finish() + self._tags[token]
        if token in self._special_ids:
            return ""
        self._ids.append(token)
        text = self._pending()
        if not text or text.endswith(REPLACEMENT):
            return self._hopeless(text)
        self._ids = self._ids[self._context :]
        self._context = len(self._ids)
        return text

    def _hopeless(self, text: str) -> str:
        """What of it no further token can make whole, so that not all is decoded anew each time."""
        if len(self._ids) - self._context < 4 * LONGEST_CHARACTER:
            return ""
        cut = len(self._ids) - LONGEST_CHARACTER
        before = self._decode(self._ids[: self._context])
        begun = self._decode(self._ids[:cut])[len(before) :]
        rest = self._decode(self._ids[self._context : cut])
        if not text.startswith(begun) or rest != begun:
            return ""
        self._ids = self._ids[self._context :]
        self._context = cut - self._context
        return begun

    def finish(self) -> str:
        """What is left, whole characters or not."""
        text = self._pending()
        self._context = len(self._ids)
        return text

    def _pending(self) -> str:
        before = self._decode(self._ids[: self._context])
        return self._decode(self._ids)[len(before) :]


class AnswerSplitter:
    """Splits text into answer and reasoning and ends it before a stop string.

    Text that may be the beginning of a tag or of a stop string is held back. White space before
    the answer's first character is dropped.
    """

    def __init__(
        self, stop: Sequence[str] = (), *, has_reasoning: bool = False, is_reasoning: bool = False
    ) -> None:
        self._stop = tuple(text for text in stop if text)
        self._has_reasoning = has_reasoning or is_reasoning
        self._is_reasoning = is_reasoning
        self._held = ""
        self._is_begun = False
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string came."""
        return self._is_stopped

    @property
    def is_reasoning(self) -> bool:
        """Whether the text is inside reasoning now."""
        return self._is_reasoning

    def push(self, text: str) -> list[TextDelta | ReasoningDelta]:
        """The deltas that this text completes."""
        self._held += text
        deltas: list[TextDelta | ReasoningDelta] = []
        while not self._is_stopped:
            found = self._first_mark()
            if found is None:
                break
            position, mark = found
            self._emit(self._held[:position], deltas)
            self._held = self._held[position + len(mark) :]
            self._pass(mark)
        if self._is_stopped:
            self._held = ""
        kept = self._possible_mark()
        self._emit(self._held[: len(self._held) - kept], deltas)
        self._held = self._held[len(self._held) - kept :]
        return deltas

    def finish(self) -> list[TextDelta | ReasoningDelta]:
        """What was held back and turned out to be text."""
        deltas: list[TextDelta | ReasoningDelta] = []
        self._emit(self._held, deltas)
        self._held = ""
        return deltas

    def _marks(self) -> tuple[str, ...]:
        if self._is_reasoning:
            return (CLOSE_TAG,)
        return (*self._stop, OPEN_TAG) if self._has_reasoning else self._stop

    def _first_mark(self) -> tuple[int, str] | None:
        """Where the mark that is complete first begins: no matter how the text was cut up."""
        found = [(self._held.find(mark), mark) for mark in self._marks()]
        found = [(position, mark) for position, mark in found if position >= 0]
        return min(found, key=lambda at: (at[0] + len(at[1]), at[0]), default=None)

    def _possible_mark(self) -> int:
        longest = max((len(mark) for mark in self._marks()), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(mark.startswith(self._held[-length:]) for mark in self._marks()):
                return length
        return 0

    def _pass(self, mark: str) -> None:
        if self._is_reasoning:
            self._is_reasoning = False
        elif mark == OPEN_TAG and self._has_reasoning and OPEN_TAG not in self._stop:
            self._is_reasoning = True
        else:
            self._is_stopped = True

    def _emit(self, text: str, deltas: list[TextDelta | ReasoningDelta]) -> None:
        if self._is_reasoning:
            if text:
                deltas.append(ReasoningDelta(text))
            return
        if not self._is_begun:
            text = text.lstrip()
        if text:
            self._is_begun = True
            deltas.append(TextDelta(text))
