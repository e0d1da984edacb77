"""Guessed tokens: what is guessed, and that nobody can tell from an answer that any were."""

import random
from collections.abc import Mapping, Sequence

import pytest
import torch
from typing_extensions import override

from bot.engine.base import SamplingParameters
from bot.engine.batching.batch import batch_for
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch, pass_tokens
from bot.engine.checkpoint.blueprint import Blueprint, read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.local.generation import prompt_for
from bot.engine.text.speculation import LONGEST_REST, PASS_TOKENS, PromptLookup, guesses_a_row
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import MakeEngine, folder_of, in_worker, packed, passes, read, request_for


def test_what_followed_the_last_tokens_before_is_guessed() -> None:
    lookup = PromptLookup([7, 8, 9, 1, 2])
    assert lookup.guess([0, 7, 8, 9], 2) == [1, 2]
    assert lookup.guess([0, 7, 8, 9, 1, 5], 2) == ()


def test_the_longer_match_and_the_later_place_count() -> None:
    history = [1, 2, 3, 4, 0, 9, 2, 3, 5, 0, 9, 2, 3, 6, 0, 1, 2, 3]
    assert PromptLookup(()).guess(history, 1) == [4]
    assert PromptLookup(()).guess([*history[:-3], 8, 2, 3], 1) == [6]


def test_what_repeats_itself_is_guessed_to_go_on() -> None:
    lookup = PromptLookup(())
    lookup.learn(3, 3)
    assert lookup.guess([5, 1, 2, 1, 2], 5) == [1, 2, 1, 2, 1]


def test_right_guesses_make_them_longer_and_wrong_ones_seldom() -> None:
    lookup = PromptLookup(())
    history = [1, 2] * 10
    first = len(lookup.guess(history, 99))
    for _ in range(5):
        lookup.learn(3, 3)
    assert len(lookup.guess(history, 99)) == PASS_TOKENS > first
    assert len(lookup.guess(history, 4)) == 4
    guessed = 0
    for _ in range(1000):
        if (count := len(lookup.guess(history, 99))) > 0:
            lookup.learn(count, 0)
            guessed += 1
    assert 1000 / LONGEST_REST < guessed < 30
    lookup.learn(2, 1)
    assert lookup.guess(history, 99) == ()  # it rests to the end
    assert any(lookup.guess(history, 99) for _ in range(LONGEST_REST))


def test_many_rows_fill_a_pass_without_guesses() -> None:
    assert [guesses_a_row(rows) for rows in (1, 2, 4, 8, 9, 16, 32)] == [15, 7, 3, 1, 0, 0, 0]
    assert guesses_a_row(1, 1) == 0


class Informed(PromptLookup):
    """Knows what will be said and guesses it, mostly."""

    def __init__(self, text: Sequence[int], seed: int) -> None:
        super().__init__(())
        self._knows = text
        self._random = random.Random(seed)
        self.right = 0

    @override
    def guess(self, history: Sequence[int], most: int) -> Sequence[int]:
        said = self._knows[len(history) : len(history) + most]
        return [token if self._random.random() < 0.8 else max(token - 1, 0) for token in said]

    @override
    def learn(self, guessed: int, right: int) -> None:
        self.right += right


def checkpoint_of(entry: ModelEntry) -> Checkpoint:
    blueprint = read_blueprint(entry, folder_of(entry), torch.device("cpu"), exact=True)
    return load_checkpoint(blueprint, lambda _fraction: None)


SAMPLINGS = (
    SamplingParameters(temperature=0, max_tokens=20),
    SamplingParameters(temperature=0, max_tokens=20, repetition_penalty=1.3),
    SamplingParameters(temperature=1.0, top_p=0.9, seed=3, max_tokens=20),
    SamplingParameters(temperature=0.8, top_k=9, no_repeat_ngram_size=2, seed=4, max_tokens=20),
)


def answered(
    batch: SlotBatch, name: str, known: Sequence[Sequence[int]] = ()
) -> tuple[list[Row], int]:
    """Rows that join one after another and the passes that they took; each is stepped to its end,
    and what it leaves as a prefix holds its text alone.
    """
    rows: list[Row] = []
    running: list[Row] = []
    count = 0
    for index, sampling in enumerate(SAMPLINGS):
        prompt = prompt_for(batch.checkpoint, request_for(name, PROMPTS[index], sampling))
        rows.append(Row(batch.checkpoint, prompt.ids, sampling))
        if known:
            rows[-1].lookup = Informed(known[index], index)
    waiting = list(rows)
    while waiting or running:
        if waiting and count % 3 == 0:
            batch.join(waiting[0])
            running.append(waiting.pop(0))
        count += 1
        for row in batch.step():
            row.choose()
            while row.tokens_left and row.advance():
                row.choose()
            if row.is_ended or not row.tokens_left:
                running.remove(row)
                check_prefix(batch, row)
                batch.leave(row)
    return rows, count


def check_prefix(batch: SlotBatch, row: Row) -> None:
    prefix = batch.prefix(row)
    if prefix is not None and not row.source:
        assert prefix.ids == tuple(row.history[: len(prefix.ids)])
        assert len(prefix.ids) >= len(row.history) - 1


@pytest.mark.parametrize("name", TINY)
def test_rows_say_with_guesses_what_they_say_without(
    entries: Mapping[str, ModelEntry], name: str
) -> None:
    checkpoint = checkpoint_of(entries[name])
    batch = batch_for(checkpoint)
    assert isinstance(batch, SlotBatch)
    alone, without = answered(batch, name)
    batch.pass_tokens = 16
    texts = [row.history for row in alone]
    guessing, with_guesses = answered(batch, name, texts)
    assert [row.tokens for row in guessing] == [row.tokens for row in alone]
    assert [row.is_ended for row in guessing] == [row.is_ended for row in alone]
    right = [row.lookup.right for row in guessing if isinstance(row.lookup, Informed)]
    assert sum(right) > 20
    assert with_guesses < 0.8 * without


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_what_was_guessed_wrongly_leaves_no_trace_in_a_row_that_rests(
    entries: Mapping[str, ModelEntry], name: str
) -> None:
    checkpoint = checkpoint_of(entries[name])
    batch = batch_for(checkpoint)
    assert isinstance(batch, SlotBatch)
    alone, _passes = answered(batch, name)
    batch.pass_tokens = 16
    row = Row(checkpoint, prompt_for(checkpoint, request_for(name, PROMPTS[0])).ids, SAMPLINGS[0])
    row.lookup = Informed(alone[0].history, 1)
    batch.join(row)
    while row.tokens_left and not row.is_ended:
        if row in batch.step():
            row.choose()
            while row.tokens_left and row.advance():
                row.choose()
            batch.suspend(row)
            batch.resume(row)
    batch.leave(row)
    assert row.tokens == alone[0].tokens


def set_pass_tokens(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    def given(_blueprint: Blueprint) -> int:
        return tokens

    monkeypatch.setattr("bot.engine.batching.slot_batch.pass_tokens", given)


@pytest.mark.parametrize("name", TINY)
async def test_an_answer_its_trace_and_its_usage_are_the_same_with_guesses(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("bot.engine.checkpoint.blueprint.is_packed_faster", packed(if_any=False))
    steps: list[int] = []
    told: list[object] = []
    for tokens in (1, PASS_TOKENS):
        set_pass_tokens(monkeypatch, tokens)
        engine = make_engine(exact=False)
        for stop in ((), ("e",)):
            sampling = SamplingParameters(temperature=0, max_tokens=40, stop=stop)
            text = " ".join([PROMPTS[0]] * 3)
            answer = await read(engine, request_for(name, text, sampling, traced_tokens=5))
            usage, trace = answer.finished.usage, answer.finished.trace
            assert trace is not None
            picked = [[option for option, _share in token.options] for token in trace.tokens]
            told.append(
                (answer.text, answer.finished.reason, usage.generated_tokens, trace.prompt, picked)
            )
        steps.append(await in_worker(engine, passes))
    assert told[:2] == told[2:]
    assert steps[1] <= steps[0]


def test_rows_that_must_be_exact_or_pay_for_each_token_guess_nothing(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entries["smollm"]

    def tokens(*, exact: bool, bits: int | None = None, device: str = "cpu") -> int:
        changed = entry.model_copy(update={"weight_bits": bits})
        blueprint = read_blueprint(changed, folder_of(entry), torch.device(device), exact=exact)
        return pass_tokens(blueprint)

    for is_flat in (True, False):
        monkeypatch.setattr(
            "bot.engine.checkpoint.blueprint.is_packed_faster", packed(if_any=is_flat)
        )
        assert tokens(exact=False) == (PASS_TOKENS if is_flat else 1)
        assert tokens(exact=True) == 1
        assert tokens(exact=False, bits=8) == (PASS_TOKENS if is_flat else 1)
        assert tokens(exact=True, bits=8) == 1
        assert tokens(exact=False, bits=4) == (PASS_TOKENS if is_flat else 1)
        assert tokens(exact=True, bits=4) == 1
    assert tokens(exact=False, device="cuda") == PASS_TOKENS
    assert tokens(exact=True, device="cuda") == 1
