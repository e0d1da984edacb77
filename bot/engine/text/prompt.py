"""From turns to a prompt that fits: what is dropped, what is cut, how long the answer may be.

Pure apart from the tokenizer it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.conversation import Role, Turn, turns_to_drop
from bot.engine.text.families import FamilyFeed, ModelKind, PromptTokenizer
from bot.engine.text.tokenizer import TemplateRefused

MAX_CHARS_PER_TOKEN = 16
"""Text beyond this many characters per token of the window is cut before it is encoded, so that a
question of a megabyte costs no more than one that just does not fit."""

LEAST_PROMPT_SHARE = 0.5
"""A prompt may always have this share of a window that it shares with the answer."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much a model takes: tokens of prompt, and of answer where that is bounded apart."""

    tokens: int
    max_answer: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that fits.

    `dropped_turns` of the oldest turns were left out, `cut_tokens` of the question were cut from
    its beginning (what people ask stands mostly at the end of what they paste). The answer may
    have `max_tokens`. `turns` are those that are left, for who sends words instead of `ids`. The
    first `shared_tokens` are the same for every conversation with this system prompt.
    """

    ids: tuple[int, ...]
    max_tokens: int
    dropped_turns: int = 0
    cut_tokens: int = 0
    turns: tuple[Turn, ...] = ()
    shared_tokens: int = 0


def build_prompt(
    turns: Sequence[Turn],
    *,
    feed: FamilyFeed,
    tokenizer: PromptTokenizer,
    window: Window,
    max_tokens: int,
    has_system_prompt: bool,
    is_raw: bool,
) -> Prompt:
    """The prompt for these turns, the question being the last."""
    return _Builder(feed, tokenizer, window, max_tokens, is_raw).build(turns, has_system_prompt)


class _Builder:
    def __init__(
        self,
        feed: FamilyFeed,
        tokenizer: PromptTokenizer,
        window: Window,
        max_tokens: int,
        is_raw: bool,
    ) -> None:
        self._feed = feed
        self._tokenizer = tokenizer
        self._window = window
        self._is_raw = is_raw
        self._max_tokens = (
            max_tokens if window.max_answer is None else min(max_tokens, window.max_answer)
        )
        self._shares = feed.kind is ModelKind.DECODER_ONLY
        least = int(window.tokens * LEAST_PROMPT_SHARE)
        self._budget = max(least, window.tokens - max_tokens) if self._shares else window.tokens

    def build(self, turns: Sequence[Turn], has_system_prompt: bool) -> Prompt:
        turns = [self._capped(turn) for turn in turns]
        system = [turn for turn in turns if turn.role is Role.SYSTEM]
        spoken = [turn for turn in turns if turn.role is not Role.SYSTEM]
        if self._is_raw or not has_system_prompt:
            system = []
        if self._is_raw:
            spoken = spoken[-1:]
        system = [self._beginning(turn, self._budget // 2) for turn in system]
        return self._fit(system, spoken)

    def _fit(self, system: list[Turn], spoken: list[Turn]) -> Prompt:
        dropped = self._first_guess(system, spoken)
        ids = self._encode(system, spoken[dropped:])
        while len(ids) > self._budget and dropped < len(spoken) - 1:
            dropped += 1
            ids = self._encode(system, spoken[dropped:])
        cut, left = 0, spoken[dropped:]
        if len(ids) > self._budget:
            ids, cut, question = self._cut_question(system, spoken[-1], len(ids))
            left = [question]
        answer_tokens = self._answer_tokens(len(ids))
        kept = (*system, *left)
        return Prompt(tuple(ids), answer_tokens, dropped, cut, kept, self._shared(system, ids))

    def _shared(self, system: list[Turn], ids: list[int]) -> int:
        """How far a prompt is the same whatever is asked: where two questions begin to differ."""
        if not system or not self._shares:
            return 0
        others = [self._encode(system, [Turn(Role.USER, text)]) for text in ("a", "b")]
        return min(common_length(ids, other) for other in (others[0], others[1]))

    def _first_guess(self, system: list[Turn], spoken: list[Turn]) -> int:
        if len(spoken) == 1:
            return 0
        question = Turn(Role.USER, "a")
        alone = len(self._encode([], [question]))
        three = len(self._encode([], [question, Turn(Role.ASSISTANT, "a"), question]))
        around = max(0, (three - alone) // 2 - 1)
        counts = [len(self._tokenizer.encode(turn.text)) + around for turn in spoken]
        fixed = alone + sum(len(self._tokenizer.encode(turn.text)) + around for turn in system)
        return turns_to_drop(counts, max(0, self._budget - fixed))

    def _encode(self, system: list[Turn], spoken: list[Turn]) -> list[int]:
        if self._is_raw:
            return self._feed.encode_raw(spoken[-1].text, self._tokenizer)
        try:
            return self._feed.encode([*system, *spoken], self._tokenizer)
        except TemplateRefused:
            # Some templates demand that a user speaks first, some know no system role.
            while len(spoken) > 1 and spoken[0].role is Role.ASSISTANT:
                spoken = spoken[1:]
            return self._feed.encode(spoken, self._tokenizer)

    def _cut_question(
        self, system: list[Turn], question: Turn, length: int
    ) -> tuple[list[int], int, Turn]:
        before = count = len(self._tokenizer.encode(question.text))
        ids: list[int] = []
        while length > self._budget and question.text:
            question = self._end(question, max(0, count - (length - self._budget)))
            ids = self._encode(system, [question])
            count, length = len(self._tokenizer.encode(question.text)), len(ids)
        return ids[-self._budget :], before - count, question

    def _end(self, turn: Turn, max_tokens: int) -> Turn:
        """The end of a turn, within `max_tokens` and shorter than it was."""
        text = turn.text
        count = len(self._tokenizer.encode(text))
        while text:
            text = text[len(text) - min(len(text) * max_tokens // max(count, 1), len(text) - 1) :]
            count = len(self._tokenizer.encode(text))
            if count <= max_tokens:
                break
        return replace(turn, text=text)

    def _beginning(self, turn: Turn, max_tokens: int) -> Turn:
        text = turn.text
        while (count := len(self._tokenizer.encode(text))) > max_tokens:
            text = text[: min(len(text) * max_tokens // count, len(text) - 1)]
        return replace(turn, text=text)

    def _capped(self, turn: Turn) -> Turn:
        max_chars = self._budget * MAX_CHARS_PER_TOKEN
        is_long = len(turn.text) > max_chars
        if not is_long:
            return turn
        keeps_beginning = turn.role is Role.SYSTEM
        return replace(
            turn, text=turn.text[:max_chars] if keeps_beginning else turn.text[-max_chars:]
        )

    def _answer_tokens(self, prompt_tokens: int) -> int:
        if not self._shares:
            return self._max_tokens
        return max(1, min(self._max_tokens, self._window.tokens - prompt_tokens))


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with together."""
    pairs = enumerate(zip(first, second, strict=False))
    differing = (index for index, (one, other) in pairs if one != other)
    return next(differing, min(len(first), len(second)))
