"""Speculative decoding by prompt lookup: a row's next tokens are guessed from what stood before.

Where the last tokens stood earlier in the prompt or the answer, what followed them there is guessed
to follow again (Saxena 2023, "Prompt Lookup Decoding"). The guesses are fed with the row's next
token in one pass, and each is taken only if the row, choosing from its own logits, chooses the
same. It knows neither models nor torch.
"""

from collections.abc import Sequence

PASS_TOKENS = 16
"""Tokens of all rows, padding counted, that take little longer than one with flat kernels."""

NGRAM_SIZES = (3, 2)
"""How many last tokens are looked up, the longest first."""

FIRST_GUESSES = 3
LONGEST_REST = 63
"""Passes without guesses after guesses that were wrong again and again."""


def guesses_a_row(rows: int, pass_tokens: int = PASS_TOKENS) -> int:
    """How many tokens may be guessed for each of so many rows."""
    return max(0, pass_tokens // rows - 1) if rows else 0


class PromptLookup:
    """The guesses of one row: more after right ones, fewer and seldom after wrong ones.

    `source` is what an encoder was given, nothing for decoder-only models, whose history begins
    with the prompt.
    """

    def __init__(self, source: Sequence[int]) -> None:
        self._source = source
        self._text: list[int] = []
        self._seen = 0
        self._followed_at: dict[tuple[int, ...], int] = {}
        self._most = FIRST_GUESSES
        self._rest = 0
        self._misses = 0

    def guess(self, history: Sequence[int], most: int) -> Sequence[int]:
        """At most so many tokens that may follow a history, which only grows from call to call."""
        if self._rest:
            self._rest -= 1
            return ()
        self._read(history)
        at = self._found()
        if at is None:
            return ()
        guessed: list[int] = []
        for index in range(at, at + min(most, self._most)):
            # What repeats itself at the very end goes on repeating.
            ahead = index - len(self._text)
            guessed.append(self._text[index] if ahead < 0 else guessed[ahead])
        return guessed

    def learn(self, guessed: int, right: int) -> None:
        """So many of the last guesses were right."""
        if right:
            self._most = min(2 * self._most if right == guessed else right + 2, PASS_TOKENS)
            self._misses = 0
        else:
            self._misses += 1
            self._most = max(2, self._most // 2)
            self._rest = min((1 << max(0, self._misses - 2)) - 1, LONGEST_REST)

    def _read(self, history: Sequence[int]) -> None:
        """Note what followed each n-gram last; of the newest nothing is known yet."""
        if not self._text:
            self._text = list(self._source)
            self._note(range(len(self._text)))
        begun = len(self._text)
        self._text += history[self._seen :]
        self._seen = len(history)
        self._note(range(begun, len(self._text)))

    def _note(self, places: range) -> None:
        for size in NGRAM_SIZES:
            for at in places:
                if at >= size:
                    self._followed_at[tuple(self._text[at - size : at])] = at

    def _found(self) -> int | None:
        for size in NGRAM_SIZES:
            at = self._followed_at.get(tuple(self._text[-size:]))
            if at is not None:
                return at
        return None
