"""Generation: the tokens and logits that transformers' own `generate` gives."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# `generate` is untyped.

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)
from typing_extensions import override

from bot.conversation import Role, Turn
from bot.engine.base import GenerationRequest, SamplingParameters
from bot.engine.batching.batch import Batch, batch_for, by_modules
from bot.engine.batching.one_by_one import OneByOne
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.generation import prompt_for
from bot.engine.text.families import ModelKind
from bot.engine.text.prompt import common_length
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import GREEDY, read, request_for
from tests.engine.precision import MOST_TIMES_TORCH, Errors, wide_answer


@pytest.fixture(scope="module")
def loaded(entries: Mapping[str, ModelEntry]) -> "Loaded":
    return Loaded(entries)


class Loaded:
    """The tiny checkpoints, loaded when first asked for."""

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        self._entries = entries
        self.checkpoint = cache(self._load)
        self.reference = cache(self._load_plain)

    def _load(self, name: str) -> Checkpoint:
        entry = self._entries[name]
        assert entry.folder is not None
        blueprint = read_blueprint(entry, entry.folder, torch.device("cpu"), exact=True)
        return load_checkpoint(blueprint, lambda _fraction: None)

    def _load_plain(self, name: str) -> Checkpoint:
        """With transformers' own layers and products."""
        checkpoint = self.checkpoint(name)
        model = type(checkpoint.model).from_pretrained(
            checkpoint.blueprint.folder, dtype=torch.float32
        )
        return replace(checkpoint, model=cast("Any", model).eval())


WAYS: Mapping[str, Callable[[Checkpoint], Batch]] = {
    "kernels": batch_for,
    "modules": by_modules,
    "one by one": OneByOne,
}
"""How rows go through a model."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Tokens chosen (end token included) and the logits that each was chosen from."""

    tokens: list[int]
    logits: list[torch.Tensor]


def next_logits(batch: Batch, row: Row) -> torch.Tensor:
    """Step until the row may choose."""
    while row not in batch.step():
        pass
    assert row.logits is not None
    return row.logits


def ours(
    checkpoint: Checkpoint, request: GenerationRequest, batch: Batch | None = None
) -> Generated:
    prompt = prompt_for(checkpoint, request)
    row = Row(checkpoint, prompt.ids, request.sampling)
    batch = batch or batch_for(checkpoint)
    batch.join(row)
    generated = Generated([], [])
    while not row.is_ended and len(row.tokens) < prompt.max_tokens:
        generated.logits.append(next_logits(batch, row))
        token = row.choose()
        generated.tokens.append(-1 if token is None else token)
    batch.leave(row)
    return generated


def theirs(checkpoint: Checkpoint, request: GenerationRequest, **options: Any) -> Generated:
    ids = torch.tensor([prompt_for(checkpoint, request).ids])
    settings = checkpoint.model.generation_config
    assert settings is not None
    # An end token forced at the length limit is not a choice of the model.
    settings.forced_eos_token_id = None
    output = cast("Any", checkpoint.model).generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=request.sampling.max_tokens,
        num_beams=1,
        output_logits=True,
        return_dict_in_generate=True,
        **({"do_sample": False} | options),
    )
    logits = [step[0] for step in output.logits]
    tokens = output.sequences[0].tolist()[-len(logits) :]
    ends = checkpoint.rules.eos_ids
    return Generated([-1 if token in ends else token for token in tokens], logits)


@pytest.mark.parametrize("name", TINY)
def test_rows_of_the_known_families_go_through_their_model_together(
    loaded: Loaded, name: str
) -> None:
    assert isinstance(batch_for(loaded.checkpoint(name)), SlotBatch)


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("way", WAYS)
def test_greedy_tokens_and_every_steps_logits_are_those_of_generate(
    loaded: Loaded, name: str, way: str
) -> None:
    checkpoint, plain = loaded.checkpoint(name), loaded.reference(name)
    batch = WAYS[way](checkpoint)
    errors, others = Errors(), 0
    for text in PROMPTS[:10]:
        request = request_for(name, text)
        mine, reference = ours(checkpoint, request, batch), theirs(plain, request)
        same = common_length(mine.tokens, reference.tokens)
        others += same < len(reference.tokens)
        # Where the first choices differ they were chosen from the same text still.
        errors.add_all(mine.logits[: same + 1], reference.logits, wide_of(plain, request, mine))
    assert errors.times_torch < MOST_TIMES_TORCH
    assert others <= 1


def wide_of(plain: Checkpoint, request: GenerationRequest, said: Generated) -> torch.Tensor:
    """What each token should have been chosen from."""
    row = Row(plain, prompt_for(plain, request).ids, request.sampling)
    return wide_answer(plain, row, [token for token in said.tokens if token >= 0])


class OnAnswer(LogitsProcessor):
    """A processor of transformers that counts the text of the answer alone: it leaves the scores of
    special tokens as they were, and does not see the first `skipped` tokens.
    """

    def __init__(self, processor: LogitsProcessor, special: Iterable[int], skipped: int) -> None:
        self._processor = processor
        self._special = sorted(special)
        self._skipped = skipped

    @override
    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        said = cast("torch.LongTensor", input_ids[:, self._skipped :])
        changed = self._processor(said, cast("torch.FloatTensor", scores.clone()))
        changed[:, self._special] = scores[:, self._special]
        return changed


@pytest.mark.parametrize("name", TINY)
def test_penalised_greedy_tokens_are_those_of_generate_with_penalties_on_the_answer(
    loaded: Loaded, name: str
) -> None:
    checkpoint = loaded.checkpoint(name)
    sampling = SamplingParameters(
        temperature=0, max_tokens=12, repetition_penalty=1.3, no_repeat_ngram_size=2
    )
    special = checkpoint.tokenizer.control_ids
    has_prompt = checkpoint.blueprint.feed.kind is ModelKind.DECODER_ONLY
    for text in PROMPTS[:6]:
        request = request_for(name, text, sampling)
        skipped = len(prompt_for(checkpoint, request).ids) if has_prompt else 0
        processors = LogitsProcessorList(
            OnAnswer(one, special, skipped)
            for one in (RepetitionPenaltyLogitsProcessor(1.3), NoRepeatNGramLogitsProcessor(2))
        )
        # What the checkpoint itself asks for would come on top.
        own = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
        reference = theirs(loaded.reference(name), request, logits_processor=processors, **own)
        assert ours(checkpoint, request).tokens == reference.tokens


@pytest.mark.parametrize("name", TINY)
def test_what_is_asked_decides_what_is_answered(loaded: Loaded, name: str) -> None:
    checkpoint = loaded.checkpoint(name)
    answers = {
        tuple(ours(checkpoint, request_for(name, text, is_raw=True)).tokens) for text in PROMPTS
    }
    assert len(answers) >= 0.9 * len(PROMPTS)


@pytest.mark.parametrize("name", TINY)
async def test_the_streamed_answer_is_the_decoding_of_generates_tokens(
    loaded: Loaded, engine: TransformersEngine, name: str
) -> None:
    checkpoint = loaded.checkpoint(name)
    for text in PROMPTS[:4]:
        request = request_for(name, text)
        tokens = [token for token in theirs(loaded.reference(name), request).tokens if token >= 0]
        answer = await read(engine, request)
        assert answer.text == checkpoint.tokenizer.decode(tokens).lstrip()
        assert answer.finished.usage.generated_tokens == len(tokens)


@pytest.mark.parametrize("name", ["llama", "smollm", "qwen3"])
@pytest.mark.parametrize("way", WAYS)
def test_a_prompt_fed_in_chunks_gives_the_logits_of_one_fed_whole(
    loaded: Loaded, name: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = loaded.checkpoint(name)
    request = request_for(name, " ".join(PROMPTS[:3]))
    make = WAYS[way]
    whole = ours(checkpoint, request, make(checkpoint))
    monkeypatch.setattr("bot.engine.batching.one_by_one.PREFILL_CHUNK", 7)
    monkeypatch.setattr("bot.engine.batching.causal.ALONE_CHUNK", 7)
    chunked = ours(checkpoint, request, make(checkpoint))
    plain = loaded.reference(name)
    reference, wide = theirs(plain, request), wide_of(plain, request, chunked)
    assert chunked.tokens == whole.tokens == reference.tokens
    errors = Errors()
    errors.add_all(chunked.logits, reference.logits, wide)
    assert errors.times_torch < MOST_TIMES_TORCH


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("way", WAYS)
def test_a_forked_row_goes_on_as_if_it_were_alone(loaded: Loaded, name: str, way: str) -> None:
    checkpoint = loaded.checkpoint(name)
    batch = WAYS[way](checkpoint)
    prompt = prompt_for(checkpoint, request_for(name, PROMPTS[0]))
    first, second = (Row(checkpoint, prompt.ids, GREEDY) for _ in range(2))
    batch.join(first)
    logits = next_logits(batch, first)
    batch.fork(second, first)
    second.logits = logits
    first.history.append(int(torch.topk(logits, 3).indices[2]))
    plain, request = loaded.reference(name), request_for(name, PROMPTS[0])
    reference = theirs(plain, request)
    assert second.choose() == reference.tokens[0]
    forked = [logits]
    while len(forked) < len(reference.logits):
        forked.append(next_logits(batch, second))
        first.history.append(first.history[-1])
        second.choose()
    errors = Errors()
    errors.add_all(forked, reference.logits, wide_of(plain, request, reference))
    assert errors.times_torch < MOST_TIMES_TORCH


def test_a_checkpoints_least_length_and_encoder_ngrams_are_kept(
    tmp_path: Path, entries: Mapping[str, ModelEntry]
) -> None:
    TINY["blenderbot"].make(tmp_path)
    settings = (tmp_path / "generation_config.json").read_text(encoding="utf-8")
    (tmp_path / "generation_config.json").write_text(
        settings.replace('"bos_token_id"', '"min_length": 9, "bos_token_id"'), encoding="utf-8"
    )
    entry = TINY["blenderbot"].entry(tmp_path)
    blueprint = read_blueprint(entry, tmp_path, torch.device("cpu"), exact=True)
    checkpoint = load_checkpoint(blueprint, lambda _fraction: None)
    assert (checkpoint.rules.min_length, checkpoint.rules.encoder_no_repeat_ngram_size) == (9, 3)
    row = Row(checkpoint, [5, 6, 2], GREEDY)
    for logits in (end_at(checkpoint, 2.0), end_at(checkpoint, -2.0)):
        row.logits = logits
        assert row.choose() is not None
    row.history[:] = [7] * 9
    row.logits = end_at(checkpoint, 2.0)
    assert row.choose() is None


def test_penalties_count_what_is_written_of_an_answer_and_not_the_question(loaded: Loaded) -> None:
    checkpoint = loaded.checkpoint("llama")
    logits = torch.zeros(checkpoint.tokenizer.size)
    logits[9], logits[11] = 1.5, 1.0
    for begun, token in ((0, 9), (1, 9), (2, 11)):
        row = Row(checkpoint, [5, 7, 9, 8], replace(GREEDY, repetition_penalty=2.0), begun=begun)
        row.logits = logits
        assert row.choose() == token


def test_the_end_grows_likelier_with_an_answers_length(loaded: Loaded) -> None:
    checkpoint = loaded.checkpoint("llama")
    sampling = replace(GREEDY, exponential_decay_length_penalty=(2, 3.0))
    row = Row(checkpoint, [5, 6, 2], sampling)
    while not row.is_ended:
        row.logits = end_at(checkpoint, -1.0)
        row.choose()
    assert len(row.tokens) == 3


def end_at(checkpoint: Checkpoint, height: float) -> torch.Tensor:
    """Logits with the end token this much above all others."""
    logits = torch.zeros(checkpoint.tokenizer.size)
    logits[sorted(checkpoint.rules.eos_ids)] = height
    return logits


@pytest.mark.parametrize("name", TINY)
def test_a_whole_conversation_is_answered_like_generate_does(loaded: Loaded, name: str) -> None:
    checkpoint = loaded.checkpoint(name)
    turns = tuple(
        Turn(role, text)
        for role, text in zip(
            [Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.USER], PROMPTS, strict=False
        )
    )
    request = GenerationRequest(name, turns, GREEDY)
    assert ours(checkpoint, request).tokens == theirs(loaded.reference(name), request).tokens
