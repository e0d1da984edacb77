"""What is computed once: shared system prompts, repeated questions, prompts fed together."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from bot.conversation import Role, Turn
from bot.engine.base import GenerationRequest
from bot.engine.batching.batch import Batch, batch_for
from bot.engine.batching.causal import CausalBatch
from bot.engine.batching.row import Row
from bot.engine.checkpoint import blueprint as opening
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.generation import prompt_for
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import GREEDY, folder_of, packed, read, request_for

PERSONA = Turn(Role.SYSTEM, " ".join(PROMPTS[10:14]))


def asked(model: str, text: str, key: str) -> GenerationRequest:
    return GenerationRequest(model, (PERSONA, Turn(Role.USER, text)), GREEDY, cache_key=key)


async def test_a_system_prompt_is_prefilled_once_for_all_conversations(
    engine: TransformersEngine,
) -> None:
    first = await read(engine, asked("smollm", PROMPTS[0], "one"))
    second = await read(engine, asked("smollm", PROMPTS[1], "two"))
    assert first.finished.usage.cached_tokens == 0
    assert 16 <= second.finished.usage.cached_tokens < second.finished.usage.prompt_tokens
    await engine.unload("smollm")
    alone = await read(engine, asked("smollm", PROMPTS[1], "two"))
    assert alone.finished.usage.cached_tokens == 0
    assert alone.text == second.text


async def test_what_was_asked_is_no_part_of_what_is_shared(engine: TransformersEngine) -> None:
    await read(engine, asked("smollm", PROMPTS[0], "one"))
    same = await read(engine, asked("smollm", PROMPTS[0], "two"))
    other = await read(engine, asked("smollm", "why", "three"))
    assert same.finished.usage.cached_tokens == other.finished.usage.cached_tokens


@pytest.mark.parametrize("model", ["t5", "blenderbot"])
async def test_a_question_asked_again_is_not_encoded_again(
    engine: TransformersEngine, model: str
) -> None:
    request = request_for(model, PROMPTS[0], cache_key="one")
    first = await read(engine, request)
    again = await read(engine, request)
    assert first.finished.usage.cached_tokens == 0
    assert again.finished.usage.cached_tokens == again.finished.usage.prompt_tokens
    assert again.text == first.text
    other = await read(engine, replace(request, turns=(Turn(Role.USER, PROMPTS[1]),)))
    assert other.finished.usage.cached_tokens == 0
    assert other.text == (await read(engine, request_for(model, PROMPTS[1]))).text


def loaded(
    entries: Mapping[str, ModelEntry], name: str, monkeypatch: pytest.MonkeyPatch
) -> Checkpoint:
    """In fp32, but not exact."""
    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=False))
    blueprint = read_blueprint(
        entries[name], folder_of(entries[name]), torch.device("cpu"), exact=False
    )
    return load_checkpoint(blueprint, lambda _fraction: None)


def answers(checkpoint: Checkpoint, batch: Batch, texts: list[str]) -> list[list[int]]:
    rows = [
        Row(checkpoint, prompt_for(checkpoint, request_for("x", text)).ids, GREEDY)
        for text in texts
    ]
    for row in rows:
        batch.join(row)
    while any(not row.is_ended and len(row.tokens) < 8 for row in rows):
        for row in batch.step():
            if not row.is_ended:
                row.choose()
            if row.is_ended:
                row.history.append(0)
    for row in rows:
        batch.leave(row)
    return [row.tokens[:8] for row in rows]


@pytest.mark.parametrize("name", TINY)
def test_several_prompts_in_one_pass_are_answered_as_each_alone(
    entries: Mapping[str, ModelEntry], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = loaded(entries, name, monkeypatch)
    texts = [PROMPTS[0], " ".join(PROMPTS[1:3]), "why", PROMPTS[4]]
    batch = batch_for(checkpoint)
    together = answers(checkpoint, batch, texts)
    assert together == [answers(checkpoint, batch, [text])[0] for text in texts]


def test_short_prompts_share_a_pass_and_a_long_one_waits_for_them(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engine.batching.causal.ALONE_CHUNK", 40)
    checkpoint = loaded(entries, "smollm", monkeypatch)
    batch = batch_for(checkpoint)
    assert isinstance(batch, CausalBatch)
    rows = [Row(checkpoint, [5] * length, GREEDY) for length in (90, 12, 14)]
    for row in rows:
        batch.join(row)
    assert set(batch.step()) == set(rows[1:])
    assert set(batch.fed) == set(rows[1:])
    for row in rows[1:]:
        row.choose()
    batch.step()
    assert batch.fed == [*rows[1:], rows[0]]


def test_exact_rows_are_prefilled_alone(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    blueprint = replace(loaded(entries, "smollm", monkeypatch).blueprint, is_exact=True)
    checkpoint = load_checkpoint(blueprint, lambda _fraction: None)
    batch = batch_for(checkpoint)
    rows = [Row(checkpoint, [5] * length, GREEDY) for length in (8, 9)]
    for row in rows:
        batch.join(row)
    assert list(batch.step()) == rows[:1]
