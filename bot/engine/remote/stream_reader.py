"""What has been read of a streamed answer: deltas, how it ended, and its usage."""

from collections.abc import Callable, Sequence

from bot.engine import failures
from bot.engine.base import (
    Finished,
    FinishReason,
    ReasoningDelta,
    SamplingParameters,
    TextDelta,
    Usage,
)
from bot.engine.remote.chunk import Chunk, TokenCounts
from bot.engine.text.detokenizer import AnswerSplitter
from bot.engine.text.prompt import MAX_CHARS_PER_TOKEN, Prompt
from bot.engine.text.repetition import TextCycleWatch

CHUNKS_PER_TOKEN = 4
"""An endless answer is ended at so many chunks, or at MAX_CHARS_PER_TOKEN characters, for each
token that was allowed: a server that heeds `max_tokens` sends less."""

NO_REASON = "stop"
WITHHELD = "content_filter"
ABORTED = ("abort", "error")
"""vLLM's and others' words for an answer that the server gave up."""


class Reading:
    """Turns chunks into deltas. `is_begun` once there is a delta that cannot be taken back.

    `begun` is what was written of an answer that is continued.
    """

    def __init__(
        self,
        sampling: SamplingParameters,
        asked_at_s: float,
        monotonic: Callable[[], float],
        begun: str = "",
    ) -> None:
        self._max_tokens = sampling.max_tokens
        self._monotonic = monotonic
        self._splitter = AnswerSplitter(sampling.stop, has_reasoning=True)
        self._cycles = TextCycleWatch(begun) if sampling.stops_repetition else None
        self._is_repeating = False
        self._asked_at_s = asked_at_s
        self._first_at_s: float | None = None
        self._last_at_s = asked_at_s
        self._reason: str | None = None
        self._counts: TokenCounts | None = None
        self._has_text = False
        self._has_reasoning = False
        self._chunks = 0
        self._chars = 0

    @property
    def is_begun(self) -> bool:
        """Whether something of the answer has been passed on."""
        return self._has_text or self._has_reasoning

    @property
    def is_whole(self) -> bool:
        """Whether the answer has ended, be it that only its usage is to come."""
        return self._reason is not None or self.is_ended

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is to be read: what the server still sends is not wanted."""
        return self._splitter.is_stopped or self._is_repeating or self._is_endless

    @property
    def _is_endless(self) -> bool:
        return (
            self._chunks > self._max_tokens * CHUNKS_PER_TOKEN
            or self._chars > self._max_tokens * MAX_CHARS_PER_TOKEN
        )

    def take(self, chunk: Chunk) -> Sequence[TextDelta | ReasoningDelta]:
        """The deltas of a chunk. What comes after the end is skipped, but for the usage."""
        if not self.is_whole:
            self._note_time(chunk)
            deltas: list[TextDelta | ReasoningDelta] = []
            if chunk.reasoning:
                deltas.append(ReasoningDelta(chunk.reasoning))
            if chunk.text:
                deltas += self._splitter.push(chunk.text)
            if self._cycles is not None:
                self._is_repeating = self._cycles.push(chunk.reasoning + chunk.text)
            self._reason = self._ending(chunk)
            self._counts = chunk.counts if chunk.finish_reason else None
            return self._noted(deltas)
        self._counts = chunk.counts or self._counts
        return ()

    def _ending(self, chunk: Chunk) -> str | None:
        """Some servers end a stream without a finish reason: what is there is the answer then."""
        has_ended = chunk.is_last and self._chunks > 0
        return chunk.finish_reason or (NO_REASON if has_ended else None)

    def rest(self) -> Sequence[TextDelta | ReasoningDelta]:
        """What was held back and turned out to be text."""
        return self._noted(self._splitter.finish())

    def finished(self, prompt: Prompt) -> Finished:
        """The last event of an answer that is whole."""
        usage = self.usage(prompt)
        if self._reason == WITHHELD:
            return Finished(FinishReason.ERROR, usage, failures.withheld())
        if self._reason in ABORTED:
            return Finished(FinishReason.ERROR, usage, failures.gave_up())
        if self._has_reasoning and not self._has_text:
            return Finished(FinishReason.ERROR, usage, failures.only_reasoning())
        if self._is_repeating:
            return Finished(FinishReason.REPETITION, usage)
        is_cut = self._reason == "length" or (self._is_endless and not self._splitter.is_stopped)
        return Finished(FinishReason.LENGTH if is_cut else FinishReason.STOP, usage)

    def usage(self, prompt: Prompt) -> Usage:
        """The server's counts; estimates where it gave none: a chunk is mostly a token."""
        counts = self._counts or TokenCounts(len(prompt.ids), self._chunks)
        first_at_s = self._first_at_s
        took_s = self._last_at_s - first_at_s if first_at_s is not None else 0.0
        return Usage(
            prompt_tokens=counts.prompt,
            cached_tokens=counts.cached,
            generated_tokens=counts.generated,
            dropped_turns=prompt.dropped_turns,
            time_to_first_token_s=None if first_at_s is None else first_at_s - self._asked_at_s,
            tokens_per_s=(counts.generated - 1) / took_s if took_s > 0 else None,
            cut_tokens=prompt.cut_tokens,
        )

    def _note_time(self, chunk: Chunk) -> None:
        if not chunk.text and not chunk.reasoning:
            return
        self._chunks += 1
        self._chars += len(chunk.text) + len(chunk.reasoning)
        self._last_at_s = self._monotonic()
        if self._first_at_s is None:
            self._first_at_s = self._last_at_s

    def _noted(
        self, deltas: Sequence[TextDelta | ReasoningDelta]
    ) -> Sequence[TextDelta | ReasoningDelta]:
        self._has_text |= any(isinstance(delta, TextDelta) for delta in deltas)
        self._has_reasoning |= any(isinstance(delta, ReasoningDelta) for delta in deltas)
        return deltas
