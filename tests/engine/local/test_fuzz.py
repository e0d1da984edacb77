"""Random joins, leaves, cancels, switches and unloads: no row is lost, mixed up or changed.

A few hundred sequences belong to every run, others to `make test-all`; `make fuzz` takes ten
thousand.
"""

import logging
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Ids
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar

import pytest
import torch
from typing_extensions import override

from bot.clock import utc_now
from bot.conversation import Role, Turn
from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    Priority,
    SamplingParameters,
    TextDelta,
)
from bot.engine.batching.one_by_one import OneByOne
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint.blueprint import Blueprint, read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.local.generation import Generation, prompt_for
from bot.engine.local.jobs import AnswerJob, UnloadJob
from bot.engine.local.models_in_memory import EngineSettings
from bot.engine.local.step_loop import StepLoop
from bot.engine.text.speculation import PASS_TOKENS, PromptLookup
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import folder_of
from tests.engine.precision import MOST_TIMES_TORCH, Errors, mean_square, wide_answer

logger = logging.getLogger(__name__)

_REFERENCES: dict[tuple[str, int, int], "Reference"] = {}
"""What rows say alone, by model, prompt and turns: the same for every engine."""

FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
SEQUENCES = int(os.environ.get("FUZZ_SEQUENCES", "200"))
CHUNK = 50
"""Sequences that share one engine, so that what one leaks the next ones meet."""

MOST_TOKENS = 10

ASKED = 12
"""Different questions."""

TURNS = (1, 2, 4)
"""Turns of a conversation, the question included."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a row says alone: its tokens, end token left out, the logits of every step, and what
    they should be.
    """

    tokens: list[int]
    logits: list[torch.Tensor]
    wide: torch.Tensor

    @property
    def has_tie(self) -> bool:
        """Whether a first choice leads by less than rounding may move it and the second."""
        off = max(
            float((own - right).abs().max())
            for own, right in zip(self.logits, self.wide, strict=True)
        )
        best = torch.topk(self.wide, 2).values
        return bool((best[:, 0] - best[:, 1] < 2 * MOST_TIMES_TORCH * off).any())


@dataclass(slots=True)
class Asked:
    """One question of a sequence and what has come of it."""

    job: AnswerJob
    prompt: int
    events: list[EngineEvent] = field(default_factory=list[EngineEvent])

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def finished(self) -> Finished | None:
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Finished) else None


class Oracle(PromptLookup):
    """Guesses what a row says alone, and errs at times; `texts` are sources and what is said."""

    texts: ClassVar[list[tuple[list[int], list[int]]]] = []
    right: ClassVar[int] = 0
    _random = random.Random(5)

    def __init__(self, source: Ids[int]) -> None:
        super().__init__(source)
        self._is_of = source

    @override
    def guess(self, history: Ids[int], most: int) -> Ids[int]:
        for source, text in self.texts:
            if source == self._is_of and text[: len(history)] == history:
                said = text[len(history) : len(history) + most]
                return [token if self._random.random() < 0.7 else 5 for token in said]
        return []

    @override
    def learn(self, guessed: int, right: int) -> None:
        Oracle.right += right


class Checker:
    """Compares everything with single rows; `counts` tell what was met."""

    def __init__(self, loop: StepLoop, entries: Mapping[str, ModelEntry]) -> None:
        self.loop = loop
        self.counts: Counter[str] = Counter()
        self._entries = entries
        self._checkpoint: Callable[[str], Checkpoint] = cache(self._loaded)
        self.worst: Callable[[str], float] = cache(self._worst)
        self.errors: defaultdict[str, Errors] = defaultdict(Errors)

    def check_rows(self) -> None:
        """After a step: each row's last logits, and no row in a batch that no answer owns."""
        owned = {
            candidate.row: (job, generation)
            for job, generation in self.loop._generations.items()  # pyright: ignore[reportPrivateUsage]
            for candidate in generation._candidates  # pyright: ignore[reportPrivateUsage]
        }
        for _name, resident in self.loop.memory.residency.all():
            batch = resident.model.batch
            assert isinstance(batch, SlotBatch)
            assert set(batch.rows) <= set(owned)
            assert len(set(batch.rows)) == len(batch.rows)
            for cache_ in batch._caches:  # pyright: ignore[reportPrivateUsage]
                assert len(cache_.lengths) == len(batch.rows)
                assert batch.rows or cache_.size_bytes == 0
        for row, (job, generation) in owned.items():
            self._check_row(row, job, generation)

    def _check_row(self, row: Row, job: AnswerJob, generation: Generation) -> None:
        if row.logits is None or not row.chosen:
            return
        prompt = PROMPTS.index(job.request.turns[-1].text)
        turns = len(job.request.turns)
        reference = self.reference(job.entry.name, prompt, turns)
        at = row.chosen - 1
        if at < len(reference.logits) and row.tokens[:at] == reference.tokens[:at]:
            step = row.logits, reference.logits[at], reference.wide[at]
            self.errors[job.entry.name].add(*step)
            # No step makes rounding larger than the worst one known does.
            bound = MOST_TIMES_TORCH**2 * self.worst(job.entry.name)
            assert mean_square(row.logits, reference.wide[at]) < bound, (job.entry.name, at)
            self.counts["logits"] += 1

    def check_answer(self, asked: Asked) -> None:
        """At the end: a greedy answer is what its row says alone, a broken off one begins so."""
        finished = asked.finished
        assert finished is not None
        self.counts[finished.reason.value] += 1
        request = asked.job.request
        tokenizer = self._checkpoint(request.model).tokenizer
        reference = self.reference(request.model, asked.prompt, len(request.turns))
        if request.sampling.temperature or tokenizer.tags.keys() & set(reference.tokens):
            # Drawn, or inside reasoning: the rows' logits alone are compared.
            assert finished.error is None or "reasoning" in finished.error
            return
        assert finished.error is None
        expected = tokenizer.decode(reference.tokens[: request.sampling.max_tokens]).lstrip()
        is_whole = finished.reason is not FinishReason.CANCELLED
        # What breaks off may end within a character.
        begun = asked.text.rstrip("\ufffd")
        is_same = asked.text == expected if is_whole else expected.startswith(begun)
        if not is_same:
            assert reference.has_tie, (request.model, asked.text, expected)
            self.counts["ties"] += 1

    def reference(self, model: str, prompt: int, turns: int) -> Reference:
        """What is said alone, computed once for all engines."""
        key = model, prompt, turns
        if key not in _REFERENCES:
            _REFERENCES[key] = self._reference(*key)
        return _REFERENCES[key]

    def _worst(self, model: str) -> float:
        """The largest mean square error of a step in all that rows say alone."""
        known = [self.reference(model, prompt, turns) for prompt in range(ASKED) for turns in TURNS]
        return max(
            mean_square(own, wide)
            for each in known
            for own, wide in zip(each.logits, each.wide, strict=True)
        )

    def _reference(self, model: str, prompt: int, turns: int) -> Reference:
        checkpoint = self._checkpoint(model)
        greedy = SamplingParameters(temperature=0, max_tokens=MOST_TOKENS)
        request = GenerationRequest(model, conversation(prompt, turns), greedy)
        row = Row(checkpoint, prompt_for(checkpoint, request).ids, greedy)
        alone = OneByOne(checkpoint)
        alone.join(row)
        logits: list[torch.Tensor] = []
        while not row.is_ended and len(row.tokens) < MOST_TOKENS:
            if alone.step():
                assert row.logits is not None
                logits.append(row.logits)
                row.choose()
        Oracle.texts.append((list(row.source), list(row.history)))
        begun = Row(checkpoint, prompt_for(checkpoint, request).ids, greedy)
        wide = wide_answer(checkpoint, begun, row.tokens)[: len(logits)]
        return Reference(row.tokens, logits, wide)

    def _loaded(self, model: str) -> Checkpoint:
        entry = self._entries[model]
        blueprint = read_blueprint(entry, folder_of(entry), torch.device("cpu"), exact=True)
        return load_checkpoint(blueprint, lambda _fraction: None)


def conversation(prompt: int, turns: int) -> tuple[Turn, ...]:
    """A question, with turns before it that are the same for all."""
    roles = [Role.SYSTEM, Role.USER, Role.ASSISTANT]
    before = [Turn(roles[index % 3], PROMPTS[-1 - index]) for index in range(turns - 1)]
    return (*before, Turn(Role.USER, PROMPTS[prompt]))


class Sequence:
    """One random sequence of what people may do."""

    def __init__(self, loop: StepLoop, entries: Mapping[str, ModelEntry], seed: int) -> None:
        self.loop = loop
        self.entries = entries
        self.random = random.Random(seed)
        self.asked: list[Asked] = []
        self.unloads, self.unloaded = 0, 0

    def ask(self) -> None:
        model = self.random.choice(list(TINY))
        prompt = self.random.randrange(ASKED)
        is_drawn = self.random.random() < 0.2
        sampling = SamplingParameters(
            temperature=1.0 if is_drawn else 0.0,
            max_tokens=self.random.randint(1, MOST_TOKENS),
            best_of=self.random.choice((1, 1, 3)) if is_drawn else 1,
            seed=self.random.randrange(100),
        )
        request = GenerationRequest(
            model,
            conversation(prompt, self.random.choice(TURNS)),
            sampling,
            cache_key=self.random.choice(("", "one", "two")),
            fairness_key=(self.random.choice("ab"), self.random.choice("xy")),
            priority=self.random.choice(list(Priority)),
        )
        events: list[EngineEvent] = []
        job = AnswerJob(request, self.entries[model], events.append, copy_context(), 0.0)
        self.asked.append(Asked(job, prompt, events))
        self.loop.submit(job)

    def cancel(self) -> None:
        open_ = [asked for asked in self.asked if asked.finished is None]
        if open_:
            self.random.choice(open_).job.is_cancelled = True

    def unload(self) -> None:
        def done(error: BaseException | None) -> None:
            assert error is None
            self.unloaded += 1

        self.unloads += 1
        self.loop.memory.request_unload(UnloadJob(self.random.choice(list(TINY)), done))

    def run(self, checker: Checker) -> None:
        actions = [self.ask] * 10 + [self.cancel] * 4 + [self.unload]
        for _ in range(self.random.randint(3, 12)):
            self.random.choice(actions)()
            for asked in self.asked:
                request = asked.job.request
                checker.reference(request.model, asked.prompt, len(request.turns))
            for _ in range(self.random.randint(0, 6)):
                self.loop.step()
                checker.check_rows()
        while self.loop.step():
            checker.check_rows()
        assert self.unloaded == self.unloads
        for asked in self.asked:
            checker.check_answer(asked)


def make_loop(entries: Mapping[str, ModelEntry], *, exact: bool) -> StepLoop:
    clock = iter(range(1_000_000_000))
    return StepLoop(
        EngineSettings(
            entries=lambda: entries,
            locate=folder_of,
            memory_budget_bytes=1 << 30,
            max_waiting=64,
            max_rows=4,
            exact=exact,
            clock=utc_now,
            monotonic=lambda: float(next(clock)),
        )
    )


def as_many_as_pay(_blueprint: Blueprint) -> int:
    """As many tokens a pass as where the kernels are flat."""
    return PASS_TOKENS


def is_fp32(dtype: torch.dtype) -> bool:
    """What is packed: in bf16 rows would not be what they are alone."""
    return dtype is torch.float32


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEQUENCES, CHUNK))
def test_whatever_comes_and_goes_each_row_says_what_it_says_alone(
    entries: Mapping[str, ModelEntry], first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    # In fp32 throughout; every other engine prefills several prompts in one pass, and guesses;
    # of four two go through transformers' modules.
    is_exact = first % (2 * CHUNK) == 0
    if first % (4 * CHUNK) >= 2 * CHUNK:
        monkeypatch.setattr(
            "bot.engine.checkpoint.blueprint.COMPILED_MODEL_TYPES", frozenset[str]()
        )
    monkeypatch.setattr("bot.engine.checkpoint.blueprint.is_packed_faster", is_fp32)
    monkeypatch.setattr("bot.engine.batching.row.PromptLookup", Oracle)
    Oracle.right = 0
    if not is_exact:
        monkeypatch.setattr("bot.engine.batching.slot_batch.pass_tokens", as_many_as_pay)
    loop = make_loop(entries, exact=is_exact)
    checker = Checker(loop, entries)
    for seed in range(first, min(first + CHUNK, FIRST + SEQUENCES)):
        Sequence(loop, entries, seed).run(checker)
        assert not loop._generations  # pyright: ignore[reportPrivateUsage]
    assert checker.counts["logits"] > 100
    assert (Oracle.right > 100) == (not is_exact)
    logger.info("%s and %d right guesses", dict(checker.counts), Oracle.right)
    assert checker.counts["ties"] <= checker.counts["logits"] / 100
    assert all(each.times_torch < MOST_TIMES_TORCH for each in checker.errors.values())
    loop.shut_down()
