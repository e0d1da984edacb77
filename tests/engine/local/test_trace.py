"""What an engine tells of an answer: the very prompt, and what else was likely as it began."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' models are only partly typed.

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from transformers import AutoModelForCausalLM

from bot.engine.base import Finished, SamplingParameters, Trace
from bot.engine.local.engine import TransformersEngine
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS
from tests.engine.engines import GREEDY, loaded_tokenizer, request_for


async def traced(
    engine: TransformersEngine, model: str, sampling: SamplingParameters = GREEDY, tokens: int = 4
) -> Trace | None:
    request = replace(request_for(model, PROMPTS[0], sampling), traced_tokens=tokens)
    async with engine.stream(request) as events:
        async for event in events:
            if isinstance(event, Finished):
                return event.trace
    raise AssertionError("a stream ends with Finished")


@pytest.mark.parametrize("model", ["llama", "qwen3", "t5", "blenderbot"])
async def test_each_place_has_its_likeliest_tokens_and_the_chosen_one(
    engine: TransformersEngine, model: str
) -> None:
    trace = await traced(engine, model)
    assert trace is not None
    assert PROMPTS[0].split()[-1] in trace.prompt
    assert 1 <= len(trace.tokens) <= 4
    for token in trace.tokens:
        shares = [share for _text, share in token.options]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1.0001
        assert token.options[0][0] == token.chosen, "greedy takes the likeliest"


async def test_the_prompt_and_the_probabilities_are_the_models_own(
    engine: TransformersEngine, entries: Mapping[str, ModelEntry]
) -> None:
    folder = entries["llama"].folder
    assert folder is not None
    trace = await traced(engine, "llama")
    assert trace is not None
    tokenizer = cast("Any", loaded_tokenizer(folder))
    messages = [{"role": "user", "content": PROMPTS[0]}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert trace.prompt == rendered
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.tensor([tokenizer.encode(rendered, add_special_tokens=False)])
    with torch.no_grad():
        best = torch.topk(torch.softmax(model(ids).logits[0, -1].float(), dim=-1), 5)
    expected = [(tokenizer.decode([i]), p) for i, p in zip(*map(list, best[::-1]), strict=True)]
    for (text, share), (their_text, their_share) in zip(
        trace.tokens[0].options, expected, strict=True
    ):
        assert text == their_text
        assert share == pytest.approx(float(their_share), abs=1e-3)


async def test_a_token_that_was_unlikely_is_among_the_options(engine: TransformersEngine) -> None:
    hot = SamplingParameters(temperature=5.0, max_tokens=8, seed=3)
    trace = await traced(engine, "llama", hot, tokens=8)
    assert trace is not None
    for token in trace.tokens:
        assert token.chosen in [text for text, _share in token.options]


async def test_without_being_asked_nothing_is_traced(engine: TransformersEngine) -> None:
    assert await traced(engine, "llama", tokens=0) is None
