"""One answer in the making: its candidates, what is emitted of them, and the usage.

Only the engine's worker thread imports this module.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from bot.conversation import Role
from bot.engine import failures
from bot.engine.base import (
    FinishReason,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    Trace,
    TracedToken,
    Usage,
)
from bot.engine.batching.batch import Batch
from bot.engine.batching.row import Row
from bot.engine.cache.prefix_cache import SHARED, Prefix, PrefixCache
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.local.jobs import AnswerJob
from bot.engine.text.detokenizer import AnswerSplitter, Detokenizer
from bot.engine.text.families import capabilities
from bot.engine.text.prompt import Prompt, build_prompt, common_length
from bot.engine.text.repetition import WATCHED_TOKENS, CycleWatch
from bot.engine.text.tokenizer import ModelTokenizer

LEAST_SHARED_TOKENS = 16
"""A system prompt shorter than this is fed again each time."""


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
    """One row and what its tokens become.

    `reason` is set once it has ended, `prefix` once its row has left the batch.
    """

    def __init__(self, row: Row, checkpoint: Checkpoint, request: GenerationRequest,
                 prompt: Prompt) -> None:  # fmt: skip
        tokenizer = checkpoint.tokenizer
        self.row = row
        self.reason: FinishReason | None = None
        self.prefix: Prefix | None = None
        self.deltas: list[TextDelta | ReasoningDelta] = []
        self._max_tokens = prompt.max_tokens
        self._cycles = _cycle_watch(tokenizer, request, prompt)
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
        """Take the next token from the row's logits, and those that were guessed rightly."""
        self._choose_one()
        while self.reason is None and self.row.advance():
            self._choose_one()

    def _choose_one(self) -> None:
        token = self.row.choose()
        if token is None:
            self.end(FinishReason.STOP)
            return
        self.deltas += self.splitter.push(self._detokenizer.push(token))
        if self.splitter.is_stopped:
            self.reason = FinishReason.STOP
        elif self._cycles is not None and self._cycles.push(token):
            self.end(FinishReason.REPETITION)
        elif len(self.row.tokens) >= self._max_tokens:
            self.end(FinishReason.LENGTH)

    def end(self, reason: FinishReason) -> None:
        """End here; what was held back is text."""
        self.deltas += self.splitter.push(self._detokenizer.finish())
        self.deltas += self.splitter.finish()
        self.reason = reason


def _cycle_watch(
    tokenizer: ModelTokenizer, request: GenerationRequest, prompt: Prompt
) -> CycleWatch | None:
    """What notices that the answer repeats itself: of one to go on with, what is written counts."""
    if not request.sampling.stops_repetition:
        return None
    begun = _begun_tokens(tokenizer, request)
    return CycleWatch(tokenizer.decode, prompt.ids[-WATCHED_TOKENS:] if begun else ())


def _begun_tokens(tokenizer: ModelTokenizer, request: GenerationRequest) -> int:
    """How much of an answer to go on with is written."""
    last = request.turns[-1]
    return len(tokenizer.encode(last.text)) if last.role is Role.ASSISTANT else 0


class Generation:
    """An answer from its prompt to its last event.

    Its rows are in the model's batch, which steps them beside those of other answers. With one
    candidate the deltas go out as they come; with several (`best_of`) all run first, and
    of those that ended by themselves (of all, if none did) the one with the highest mean
    log-probability is emitted. The candidates share the prompt's prefill.
    """

    def __init__(
        self,
        job: AnswerJob,
        checkpoint: Checkpoint,
        batch: Batch,
        prefixes: PrefixCache,
        rows: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._job = job
        self._checkpoint = checkpoint
        self._batch = batch
        self._prefixes = prefixes
        self._rows = rows
        self._monotonic = monotonic
        self._prompt = prompt_for(checkpoint, job.request)
        self._candidates: list[Candidate] = []
        self._in_batch: set[Row] = set()
        self._cached_tokens = 0
        self._began_at_s = 0.0
        self._first_token_at_s: float | None = None

    @property
    def model(self) -> str:
        """Which model answers."""
        return self._job.entry.name

    @property
    def batch_bytes(self) -> int:
        """What the model's rows would take with this answer's among them."""
        prompt = self._prompt
        return self._batch.bytes_with(self._rows, len(prompt.ids), prompt.max_tokens)

    def begin(self) -> None:
        """Join the batch, or go on where it was suspended."""
        if self._candidates:
            for row in self._in_batch:
                self._batch.resume(row)
            return
        self._began_at_s = self._monotonic()
        row = self._add(0).row
        self._cached_tokens = self._batch.join(row, self._best_prefix())
        self._in_batch.add(row)

    def suspend(self) -> None:
        """Rest until `begin` is called again; what was said and fed is kept."""
        for row in self._in_batch:
            self._batch.suspend(row)

    @property
    def took_s(self) -> float:
        """How long ago it began, in seconds."""
        return self._monotonic() - self._began_at_s

    def take(self, ready: Collection[Row]) -> bool:
        """Choose tokens for those of the `ready` rows that are its own; whether it goes on."""
        for candidate in self._running():
            if candidate.row in ready:
                self._choose(candidate)
        if self._running():
            return True
        self.finish(None)
        return False

    def owns(self, rows: Collection[Row]) -> bool:
        """Whether one of the rows is its own."""
        return any(candidate.row in rows for candidate in self._candidates)

    def finish(self, reason: FinishReason | None) -> None:
        """Emit the chosen answer's rest and the last event; None takes the answer's own reason."""
        if not self._candidates:
            self._job.finish(reason or FinishReason.STOP, self._usage(None))
            return
        best = self._best()
        if best.reason is None:
            best.end(reason or FinishReason.STOP)
        self._emit(best)
        self.leave()
        if best.prefix is not None and self._job.keeps_prefix:
            self._prefixes.keep(self._prefix_key, best.prefix)
        ended = reason or best.reason or FinishReason.STOP
        if best.splitter.is_reasoning and ended is not FinishReason.CANCELLED:
            error = failures.only_reasoning()
            self._job.finish(FinishReason.ERROR, self._usage(best), error)
        else:
            self._job.finish(ended, self._usage(best), trace=self._trace(best.row))

    def leave(self) -> None:
        """Take what still runs out of the batch."""
        for candidate in self._candidates:
            self._leave(candidate)

    def _leave(self, candidate: Candidate) -> None:
        if candidate.row in self._in_batch:
            self._in_batch.remove(candidate.row)
            if self._job.request.cache_key:
                candidate.prefix = self._batch.prefix(candidate.row)
            self._batch.leave(candidate.row)

    def _running(self) -> list[Candidate]:
        return [candidate for candidate in self._candidates if candidate.reason is None]

    def _add(self, index: int) -> Candidate:
        request = self._job.request
        sampling = replace(request.sampling, max_tokens=self._prompt.max_tokens)
        begun = _begun_tokens(self._checkpoint.tokenizer, request)
        ids = self._prompt.ids
        row = Row(self._checkpoint, ids, sampling, index, request.traced_tokens, begun)
        candidate = Candidate(row, self._checkpoint, self._job.request, self._prompt)
        self._candidates.append(candidate)
        return candidate

    def _choose(self, candidate: Candidate) -> None:
        if self._first_token_at_s is None:
            self._first_token_at_s = self._monotonic()
            self._share_system_prompt(candidate.row)
            self._fork(candidate.row)
        self._take_token(candidate)

    def _take_token(self, candidate: Candidate) -> None:
        candidate.choose()
        if self._rows == 1:
            self._emit(candidate)
        if candidate.reason is not None:
            self._leave(candidate)

    def _fork(self, first: Row) -> None:
        for index in range(1, self._rows):
            candidate = self._add(index)
            self._batch.fork(candidate.row, first)
            self._in_batch.add(candidate.row)
            candidate.row.logits = first.logits
            self._take_token(candidate)

    def _best(self) -> Candidate:
        whole = [candidate for candidate in self._candidates if candidate.is_whole]
        return max(whole or self._candidates, key=lambda c: c.row.mean_log_probability)

    def _emit(self, candidate: Candidate) -> None:
        for delta in candidate.deltas:
            self._job.emit(delta)
        candidate.deltas = []

    def _best_prefix(self) -> Prefix | None:
        """Of what the conversation left and what any left of the same system prompt, the one that
        saves more.
        """
        ids = self._prompt.ids
        found = [self._prefixes.find(key) for key in (self._prefix_key, self._shared_key) if key[1]]
        kept = [prefix for prefix in found if prefix is not None]
        return max(kept, key=lambda prefix: common_length(prefix.ids, ids), default=None)

    def _share_system_prompt(self, row: Row) -> None:
        """Keep the beginning that is the same for every conversation with this system prompt."""
        if not self._job.keeps_prefix or not self._shared_key[1]:
            return
        if self._prefixes.find(self._shared_key) is not None:
            return
        prefix = self._batch.prefix(row, self._prompt.shared_tokens)
        if prefix is not None:
            self._prefixes.keep(self._shared_key, prefix)

    @property
    def _shared_key(self) -> tuple[str, str]:
        """No conversation's key: those name a platform."""
        shared = self._prompt.ids[: self._prompt.shared_tokens]
        is_worth_it = len(shared) >= LEAST_SHARED_TOKENS
        return self.model, f"{SHARED}/{hash(shared)}" if is_worth_it else ""

    @property
    def _prefix_key(self) -> tuple[str, str]:
        return self.model, self._job.request.cache_key

    def _usage(self, best: Candidate | None) -> Usage:
        generated = 0 if best is None else len(best.row.tokens)
        first = self._first_token_at_s
        return Usage(
            prompt_tokens=len(self._prompt.ids),
            cached_tokens=self._cached_tokens,
            generated_tokens=generated,
            dropped_turns=self._prompt.dropped_turns,
            time_to_first_token_s=None if first is None else first - self._job.submitted_at_s,
            tokens_per_s=self._speed(generated),
            cut_tokens=self._prompt.cut_tokens,
        )

    def _trace(self, row: Row) -> Trace | None:
        if not self._job.request.traced_tokens:
            return None
        shown = self._checkpoint.tokenizer.shown
        tokens = tuple(
            TracedToken(shown([pick]), tuple((shown([id_]), share) for id_, share in options))
            for pick, options in zip(row.picks, row.options, strict=True)
        )
        return Trace(shown(self._prompt.ids), tokens)

    def _speed(self, generated: int) -> float | None:
        if self._first_token_at_s is None or generated < 2:
            return None
        took = self._monotonic() - self._first_token_at_s
        return (generated - 1) / took if took > 0 else None
