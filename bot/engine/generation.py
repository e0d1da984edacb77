"""One answer in the making: its candidates, what is emitted of them, and the usage.

Only the engine's worker thread imports this module.
"""

from collections import deque
from collections.abc import Callable

from bot.engine import failures
from bot.engine.base import (
    FinishReason,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from bot.engine.checkpoint import Blueprint, Checkpoint
from bot.engine.decoding import CausalFeeding, EncoderDecoderFeeding, Feeding, Row
from bot.engine.detokenizer import AnswerSplitter, Detokenizer
from bot.engine.families import ModelKind, capabilities
from bot.engine.jobs import AnswerJob
from bot.engine.kv_cache import PrefixCache
from bot.engine.prompt import Prompt, build_prompt


def prompt_for(checkpoint: Checkpoint, request: GenerationRequest) -> Prompt:
    """The prompt of a request, within the model's window."""
    blueprint = checkpoint.blueprint
    return build_prompt(
        request.turns,
        feed=blueprint.feed,
        tokenizer=checkpoint.tokenizer,
        window=blueprint.window,
        max_tokens=request.sampling.max_tokens,
        has_system_prompt=capabilities(blueprint.entry).has_system_prompt,
        is_raw=request.is_raw,
    )


class Candidate:
    """One row and what its tokens become. `reason` is set once it has ended."""

    def __init__(self, row: Row, checkpoint: Checkpoint, request: GenerationRequest,
                 prompt: Prompt) -> None:  # fmt: skip
        tokenizer = checkpoint.tokenizer
        self.row = row
        self.reason: FinishReason | None = None
        self.deltas: list[TextDelta | ReasoningDelta] = []
        self._max_tokens = prompt.max_tokens
        self._detokenizer = Detokenizer(tokenizer.decode, tokenizer.special_ids, tokenizer.tags)
        self.splitter = AnswerSplitter(
            request.sampling.stop,
            has_reasoning=tokenizer.has_reasoning,
            is_reasoning=tokenizer.opens_reasoning(prompt.ids),
        )

    @property
    def is_whole(self) -> bool:
        """Whether it ended by itself, with an answer."""
        return self.reason is FinishReason.STOP and not self.splitter.is_reasoning

    def choose(self) -> None:
        """Take the next token from the row's logits."""
        token = self.row.choose()
        if token is None:
            self.end(FinishReason.STOP)
            return
        self.deltas += self.splitter.push(self._detokenizer.push(token))
        if self.splitter.is_stopped:
            self.reason = FinishReason.STOP
        elif len(self.row.tokens) >= self._max_tokens:
            self.end(FinishReason.LENGTH)

    def end(self, reason: FinishReason) -> None:
        """End here; what was held back is text."""
        self.deltas += self.splitter.push(self._detokenizer.finish())
        self.deltas += self.splitter.finish()
        self.reason = reason


class Generation:
    """An answer from its prompt to its last event.

    With one candidate the deltas go out as they come; with several (`best_of`) all run first, and
    of those that ended by themselves (of all, if none did) the one with the highest mean
    log-probability is emitted. The candidates share the prompt's prefill.
    """

    def __init__(
        self,
        job: AnswerJob,
        checkpoint: Checkpoint,
        prefixes: PrefixCache,
        rows: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._job = job
        self._checkpoint = checkpoint
        self._prefixes = prefixes
        self._rows = rows
        self._monotonic = monotonic
        self._prompt = prompt_for(checkpoint, job.request)
        self._candidates: list[Candidate] = []
        self._turn: deque[Candidate] = deque()
        self._cached_tokens = 0
        self._first_delta_at_s: float | None = None
        self._first_token_at_s: float | None = None

    @property
    def model(self) -> str:
        """Which model answers."""
        return self._job.entry.name

    @property
    def blueprint(self) -> Blueprint:
        """What that model is."""
        return self._checkpoint.blueprint

    @property
    def cache_bytes(self) -> int:
        """What its rows' caches take at most."""
        prompt = self._prompt
        row = self._checkpoint.blueprint.cache_bytes(len(prompt.ids), prompt.max_tokens)
        return row * self._rows

    def step(self) -> bool:
        """One forward pass of one row; whether the answer goes on."""
        if not self._candidates:
            self._begin()
        candidate = self._turn[0]
        self._turn.rotate(-1)
        if candidate.row.advance():
            self._choose(candidate)
        if self._turn:
            return True
        self.finish(None)
        return False

    def finish(self, reason: FinishReason | None) -> None:
        """Emit the chosen answer's rest and the last event; None takes the answer's own reason."""
        if not self._candidates:
            self._job.finish(reason or FinishReason.STOP, self._usage(None))
            return
        best = self._best()
        if best.reason is None:
            best.end(reason or FinishReason.STOP)
        self._emit(best)
        self._keep_cache(best.row.feeding)
        ended = reason or best.reason or FinishReason.STOP
        if best.splitter.is_reasoning and ended is not FinishReason.CANCELLED:
            error = failures.only_reasoning()
            self._job.finish(FinishReason.ERROR, self._usage(best), error)
        else:
            self._job.finish(ended, self._usage(best))

    def _begin(self) -> None:
        feeding = self._feeding()
        row = Row(self._checkpoint, feeding, self._job.request.sampling)
        self._add(row)

    def _feeding(self) -> Feeding:
        if self._checkpoint.blueprint.feed.kind is ModelKind.ENCODER_DECODER:
            return EncoderDecoderFeeding(self._checkpoint, self._prompt.ids)
        reused = self._prefixes.take(self._prefix_key, self._prompt.ids)
        self._cached_tokens = 0 if reused is None else reused[1]
        return CausalFeeding(self._checkpoint, self._prompt.ids, reused)

    def _add(self, row: Row) -> Candidate:
        candidate = Candidate(row, self._checkpoint, self._job.request, self._prompt)
        self._candidates.append(candidate)
        self._turn.append(candidate)
        return candidate

    def _choose(self, candidate: Candidate) -> None:
        if self._first_token_at_s is None:
            self._first_token_at_s = self._monotonic()
            self._fork(candidate.row)
        candidate.choose()
        if candidate.reason is not None:
            self._turn.remove(candidate)
        if self._rows == 1:
            self._emit(candidate)

    def _fork(self, first: Row) -> None:
        for index in range(1, self._rows):
            feeding = first.feeding.fork()
            row = Row(self._checkpoint, feeding, self._job.request.sampling, index)
            row.logits = first.logits
            candidate = self._add(row)
            candidate.choose()
            if candidate.reason is not None:
                self._turn.remove(candidate)

    def _best(self) -> Candidate:
        whole = [candidate for candidate in self._candidates if candidate.is_whole]
        return max(whole or self._candidates, key=lambda c: c.row.mean_log_probability)

    def _emit(self, candidate: Candidate) -> None:
        if candidate.deltas and self._first_delta_at_s is None:
            self._first_delta_at_s = self._monotonic()
        for delta in candidate.deltas:
            self._job.emit(delta)
        candidate.deltas = []

    @property
    def _prefix_key(self) -> tuple[str, str]:
        return self.model, self._job.request.cache_key

    def _keep_cache(self, feeding: Feeding) -> None:
        if isinstance(feeding, CausalFeeding):
            self._prefixes.keep(self._prefix_key, feeding.cached_ids, feeding.cache)

    def _usage(self, best: Candidate | None) -> Usage:
        generated = 0 if best is None else len(best.row.tokens)
        first = self._first_delta_at_s
        return Usage(
            prompt_tokens=len(self._prompt.ids),
            cached_tokens=self._cached_tokens,
            generated_tokens=generated,
            dropped_turns=self._prompt.dropped_turns,
            time_to_first_token_s=None if first is None else first - self._job.submitted_at_s,
            tokens_per_s=self._speed(generated),
            cut_tokens=self._prompt.cut_tokens,
        )

    def _speed(self, generated: int) -> float | None:
        if self._first_token_at_s is None or generated < 2:
            return None
        took = self._monotonic() - self._first_token_at_s
        return (generated - 1) / took if took > 0 else None
