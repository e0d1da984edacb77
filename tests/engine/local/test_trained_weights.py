"""Trained weights: exact mode says what `generate` says, and what people do runs on a real model.

One engine loads SmolLM2 once for all of them, in exact mode.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# `generate` is untyped.

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
import torch
from transformers import PreTrainedModel

from bench.answers.prompts import Chat, read_prompts
from bot.clock import utc_now
from bot.conversation import Role, Turn
from bot.engine.base import GenerationRequest, SamplingParameters, TextDelta
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.reference import Text, wide_logits
from bot.engine.kernels.packing import PackedLinear, PackedPart
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.generation import prompt_for
from bot.engine.local.step_loop import StepLoop
from bot.engine.run_mode import RunMode
from bot.engine.text.speculation import PASS_TOKENS
from bot.models.library import BUILTIN_FOLDER
from config.catalogue import BUILTIN, ModelEntry
from config.owner_models import catalogue_with
from tests.doubles.scripted import command
from tests.engine.engines import in_worker, passes, settled
from tests.engine.precision import undecided
from tests.engine.reading import Read, read
from tests.real_weights import smollm2_entry
from tests.running_flow import Clock, running_flow

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
"""Forty answers of `generate` in fp32 take a while on a busy machine."""

ROWS = 8
TOKENS = (3, 4, 5, 6)
"""Answers of different lengths, so that rows leave a full batch at different times and others join.
"""

AS_IT_SHOULD = RunMode(is_batched=True, has_kernels=True, precision="fp32")
"""The self-test of loading would find what the comparisons with `generate` find."""

CHECKED_TURNS = (4, 9)
MARKS = 16
"""Tokens of a turn of the template beside its text, and of an answer that was cut off."""

GREEDY = SamplingParameters(temperature=0.0, max_tokens=max(TOKENS))


@dataclass(frozen=True, slots=True)
class Trained:
    """An engine over SmolLM2 and the embedded model, and what it loaded of the first."""

    engine: TransformersEngine
    entries: dict[str, ModelEntry]
    checkpoint: Checkpoint
    plain: PreTrainedModel
    """transformers' own layers and products with the same weights."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trained() -> AsyncGenerator[Trained]:
    embedded = catalogue_with({}).entries[BUILTIN]
    entries = {"smollm2": smollm2_entry(), BUILTIN: embedded}
    engine = TransformersEngine(
        entries,
        lambda entry: entry.folder or BUILTIN_FOLDER,
        max_rows=ROWS,
        exact=True,
        known_mode=lambda _entry, _folder: AS_IT_SHOULD,
    )
    try:
        await engine.load("smollm2")
        loaded = await in_worker(engine, lambda loop: loop.memory.loaded(entries["smollm2"]))
        plain = await in_worker(engine, lambda _loop: plain_model(loaded.checkpoint))
        yield Trained(engine, entries, loaded.checkpoint, plain)
    finally:
        await engine.close()


def plain_model(checkpoint: Checkpoint) -> PreTrainedModel:
    """transformers' own model with a checkpoint's weights unpacked."""
    packed = dict[str, torch.Tensor]()
    for name, layer in checkpoint.model.named_modules():
        if isinstance(layer, PackedPart):
            whole = torch.cat([*layer.whole.weights()])
            packed[f"{name}.weight"] = whole[layer.first : layer.first + layer.out_features]
        elif isinstance(layer, PackedLinear) and hasattr(checkpoint.model, name.split(".")[0]):
            packed[f"{name}.weight"] = torch.cat([*layer.weights()])
    with torch.device("meta"):
        model = cast("Any", type(checkpoint.model))(checkpoint.model.config)
    weights = {**checkpoint.model.state_dict(), **packed}
    model.load_state_dict({name: weights[name] for name in model.state_dict()}, assign=True)
    model.model.rotary_emb = cast("Any", checkpoint.model).model.rotary_emb  # no weights in it
    return model.eval()


def request_of(chat: Chat, sampling: SamplingParameters = GREEDY) -> GenerationRequest:
    """A chat's first question, of somebody of their own."""
    persona = () if chat.persona is None else (Turn(Role.SYSTEM, chat.persona),)
    turns = (*persona, Turn(Role.USER, chat.turns[0]))
    return GenerationRequest("smollm2", turns, sampling, fairness_key=("test", chat.id))


@dataclass(frozen=True, slots=True)
class Expected:
    """What `generate` says after a prompt, token by token, and what it chose from."""

    prompt: Sequence[int]
    tokens: Sequence[int]
    logits: Sequence[torch.Tensor]


def generated(trained: Trained, requests: Sequence[GenerationRequest]) -> list[Expected]:
    """Greedy answers of transformers' own `generate`, some prompts at a time, padded before."""
    prompts = [prompt_for(trained.checkpoint, request).ids for request in requests]
    longest = max(map(len, prompts))
    padded = [[0] * (longest - len(ids)) + list(ids) for ids in prompts]
    mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
    with torch.inference_mode():
        output = cast("Any", trained.plain).generate(
            torch.tensor(padded),
            attention_mask=torch.tensor(mask),
            max_new_tokens=max(TOKENS),
            do_sample=False,
            pad_token_id=0,
            eos_token_id=sorted(trained.checkpoint.rules.eos_ids),
            output_logits=True,
            return_dict_in_generate=True,
        )
    tokens = output.sequences[:, longest:].tolist()
    logits = torch.stack(output.logits, dim=1)
    return [
        Expected(*each) for each in zip(prompts, tokens, [list(own) for own in logits], strict=True)
    ]


def said_by(answer: Read) -> list[str]:
    """The tokens of an answer, as they are shown."""
    trace = answer.finished.trace
    assert trace is not None
    return [token.chosen for token in trace.tokens]


def assert_same(trained: Trained, expected: Expected, answer: Read, most: int) -> None:
    """An answer has the tokens of `generate`, as far as rounding lets anybody know them."""
    ends = trained.checkpoint.rules.eos_ids
    tokens = [token for token in expected.tokens[:most] if token not in ends]
    theirs = [trained.checkpoint.tokenizer.shown([token]) for token in tokens]
    ours = said_by(answer)
    if ours == theirs:
        return
    at = next(at for at, pair in enumerate(zip_longest(ours, theirs)) if pair[0] != pair[1])
    plain = replace(trained.checkpoint, model=trained.plain)
    history = [*expected.prompt, *expected.tokens[:at]]
    wide = wide_logits(plain, [Text((), history)])[0][-1]
    possible = undecided(expected.logits[at], wide)
    shown = {trained.checkpoint.tokenizer.shown([token]) for token in possible}
    if at == len(ours):
        assert ends.intersection(possible)
    else:
        assert ours[at] in shown


async def test_forty_prompts_in_a_staggered_batch_of_eight_are_answered_like_generate(
    trained: Trained,
) -> None:
    chats = read_prompts()
    lengths = [TOKENS[number % len(TOKENS)] for number in range(len(chats))]
    requests = [
        replace(request_of(chat, replace(GREEDY, max_tokens=length)), traced_tokens=length)
        for chat, length in zip(chats, lengths, strict=True)
    ]
    answers = await asyncio.gather(*(read(trained.engine, request) for request in requests))
    # Prompts of about the same length are padded together.
    order = sorted(range(len(chats)), key=lambda at: len(str(requests[at].turns)))
    for begin in range(0, len(order), ROWS):
        some = order[begin : begin + ROWS]
        asked = [requests[at] for at in some]
        expected = await in_worker(trained.engine, lambda _loop, a=asked: generated(trained, a))
        for at, own in zip(some, expected, strict=True):
            check = partial(assert_same, trained, own, answers[at], lengths[at])
            await in_worker(trained.engine, lambda _loop, check=check: check())


async def test_a_chat_of_ten_turns_reuses_its_cache_and_says_what_generate_says(
    trained: Trained,
) -> None:
    questions = [chat.turns[0] for chat in read_prompts() if len(chat.turns[0]) < 40][:10]
    assert len(questions) == 10
    request = GenerationRequest(
        "smollm2", (), replace(GREEDY, max_tokens=4), cache_key="test/ten", traced_tokens=4
    )
    for number, question in enumerate(questions):
        request = replace(request, turns=(*request.turns, Turn(Role.USER, question)))
        answer = await read(trained.engine, request)
        usage = answer.finished.usage
        fed = usage.prompt_tokens - usage.cached_tokens
        # Of a later turn only what is new is fed: the question and the template's marks.
        is_new = trained.checkpoint.tokenizer.encode(question)
        assert number == 0 or fed <= len(is_new) + MARKS
        if number in CHECKED_TURNS:
            asked = [request]
            (own,) = await in_worker(trained.engine, lambda _loop, a=asked: generated(trained, a))
            check = partial(assert_same, trained, own, answer, 4)
            await in_worker(trained.engine, lambda _loop, check=check: check())
        request = replace(request, turns=(*request.turns, Turn(Role.ASSISTANT, answer.text)))


async def test_words_are_streamed_and_leaving_stops_the_work(trained: Trained) -> None:
    chats = {chat.id: chat for chat in read_prompts()}
    request = request_of(chats["sky"], replace(GREEDY, max_tokens=200))
    async with trained.engine.stream(request) as stream:
        text = [delta.text async for delta in first_deltas(stream, 3)]
    at_leaving = await in_worker(trained.engine, passes)
    assert await settled(trained.engine) <= at_leaving + 1
    assert len(text) == 3


async def first_deltas(stream: Any, count: int) -> AsyncGenerator[TextDelta]:
    """The first words of a stream."""
    async for event in stream:
        if isinstance(event, TextDelta):
            yield event
            count -= 1
        if not count:
            return


async def test_guessed_tokens_save_passes_and_change_nothing(trained: Trained) -> None:
    text = "The quick brown fox jumps over the lazy dog near the quiet river bank."
    turns = (
        Turn(Role.USER, "Say it again: " + text),
        Turn(Role.ASSISTANT, text),
        Turn(Role.USER, "Once more: " + text),
    )
    request = GenerationRequest("smollm2", turns, replace(GREEDY, max_tokens=24))
    said: list[str] = []
    taken: list[int] = []
    for tokens in (1, PASS_TOKENS):
        await in_worker(trained.engine, lambda loop, tokens=tokens: guess(loop, tokens))
        before = await settled(trained.engine)
        said.append((await read(trained.engine, request)).text)
        taken.append(await settled(trained.engine) - before)
    await in_worker(trained.engine, lambda loop: guess(loop, 1))
    assert said[0] == said[1]
    assert taken[1] <= taken[0] / 2


def guess(step_loop: StepLoop, pass_tokens: int) -> None:
    """Let a pass take so many tokens; exact mode guesses none by itself."""
    batch = step_loop.memory.loaded(smollm2_entry()).batch
    assert isinstance(batch, SlotBatch)
    batch.pass_tokens = pass_tokens


async def test_two_real_models_are_compared(trained: Trained, tmp_path: Path) -> None:
    short = {
        name: entry.model_copy(
            update={"sampling": entry.sampling.model_copy(update={"max_tokens": 8})}
        )
        for name, entry in trained.entries.items()
    }
    # Its engine reads the real clock, so that an answer's deadline is one too.
    clock, engine = Clock(utc_now()), cast("Any", trained.engine)
    async with running_flow(tmp_path, engine=engine, entries=short, clock=clock) as flow:
        given = {"question": "What is the capital of France?", "models": f"smollm2,{BUILTIN}"}
        await flow.submit(command("compare", given, "c1"))
        await flow.settle("c1")
        said = flow.said("c1")
    assert "**A · smollm2**\n> The capital of France is Paris" in said
    assert f"**B · {BUILTIN}**\n> " in said
