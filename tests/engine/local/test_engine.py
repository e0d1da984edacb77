"""The engine as a whole: turns, cancelling, limits, several candidates, reuse."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.conversation import Role, Turn
from bot.engine.base import (
    Finished,
    FinishReason,
    GenerationRequest,
    Loading,
    Priority,
    SamplingParameters,
    TextDelta,
)
from bot.engine.batching.row import Row
from bot.engine.local.engine import TransformersEngine
from bot.engine.local.step_loop import StepLoop
from bot.engine.text.tokenizer import ModelTokenizer
from bot.errors import (
    UnknownModel,
)
from tests.checkpoints import PROMPTS
from tests.engine.engines import (
    GREEDY,
    LONG,
    MakeEngine,
    Read,
    in_worker,
    passes,
    read,
    request_for,
    settled,
)
from tests.engine.held_loads import HeldLoads

CHATTY = SamplingParameters(temperature=1.0, max_tokens=24, seed=3)


async def test_two_answers_are_made_in_turn_token_by_token(engine: TransformersEngine) -> None:
    await engine.load("smollm")
    order: list[str] = []

    async def ask(name: str, text: str) -> None:
        nonlocal order
        async with engine.stream(request_for("smollm", text, LONG)) as stream:
            async for event in stream:
                order += [name] if isinstance(event, TextDelta) else []

    await asyncio.gather(ask("first", PROMPTS[0]), ask("second", PROMPTS[1]))
    ends = [max(i for i, name in enumerate(order) if name == who) for who in ("first", "second")]
    begin = order.index("second")
    assert begin < ends[0]
    changes = sum(
        one != other for one, other in zip(order[begin:], order[begin + 1 :], strict=False)
    )
    assert changes > (min(ends) - begin) / 2


async def test_leaving_the_block_stops_the_work_within_one_step(
    engine: TransformersEngine,
) -> None:
    await engine.load("smollm")
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as stream:
        await anext(stream)
    at_leaving = await in_worker(engine, passes)
    assert await settled(engine) <= at_leaving + 1
    assert at_leaving < LONG.max_tokens


async def test_cancelling_a_waiting_answer_frees_its_place(make_engine: MakeEngine) -> None:
    engine = make_engine(max_rows=1, max_waiting=1)
    await engine.load("smollm")
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as first:
        await anext(first)
        async with engine.stream(request_for("smollm", PROMPTS[1])):
            refused = await read(engine, request_for("smollm", PROMPTS[2]))
            assert refused.finished.reason is FinishReason.ERROR
            assert "waiting" in (refused.finished.error or "")
        third = asyncio.create_task(read(engine, request_for("smollm", PROMPTS[2])))
        await asyncio.sleep(0)
    assert (await third).finished.error is None


async def test_a_cancelled_reader_cancels_the_answer(engine: TransformersEngine) -> None:
    await engine.load("smollm")
    begun = asyncio.Event()

    async def ask() -> None:
        async with engine.stream(request_for("smollm", PROMPTS[0], LONG)) as stream:
            async for _event in stream:
                begun.set()

    task = asyncio.create_task(ask())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await settled(engine) < LONG.max_tokens


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_past_its_deadline_an_answer_ends_with_time(make_engine: MakeEngine) -> None:
    clock = Clock()
    engine = make_engine(clock=clock)
    await engine.load("smollm")
    deadline = clock.now + timedelta(seconds=60)
    async with engine.stream(request_for("smollm", PROMPTS[0], LONG, deadline=deadline)) as stream:
        assert isinstance(await anext(stream), TextDelta)
        clock.now = deadline
        *_, last = [event async for event in stream]
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.TIME
    assert 0 < last.usage.generated_tokens < LONG.max_tokens


async def test_a_deadline_that_passed_while_waiting_is_told(make_engine: MakeEngine) -> None:
    clock = Clock()
    engine = make_engine(clock=clock)
    late = await read(engine, request_for("smollm", PROMPTS[0], deadline=clock.now))
    assert late.finished.reason is FinishReason.TIME


async def test_the_time_that_a_model_takes_to_load_is_not_the_answers(
    make_engine: MakeEngine, held_loads: HeldLoads
) -> None:
    """Two ask at once, for a minute each; the load takes an hour. Afterwards time counts again."""
    clock, seconds = Clock(), Seconds()
    engine = make_engine(clock=clock, monotonic=seconds)
    deadline = clock.now + timedelta(seconds=60)

    async def ask(prompt: str) -> Read:
        return await read(engine, request_for("smollm", prompt, deadline=deadline))

    first = asyncio.create_task(ask(PROMPTS[0]))
    async with engine.stream(request_for("smollm", PROMPTS[1], deadline=deadline)) as stream:
        assert isinstance(await anext(stream), Loading)
        clock.now += timedelta(hours=1)
        seconds.now += 3600
        held_loads.may_go.set()
        *_, last = [event async for event in stream]
    assert isinstance(last, Finished)
    assert last.error is None
    assert last.reason is not FinishReason.TIME
    assert (await first).finished.error is None
    late = await read(engine, request_for("smollm", PROMPTS[0], deadline=deadline))
    assert late.finished.reason is FinishReason.TIME


class Seconds:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_an_answer_ends_before_a_stop_string(engine: TransformersEngine) -> None:
    whole = (await read(engine, request_for("smollm", PROMPTS[2]))).text
    mark = whole[4:7]
    sampling = replace(GREEDY, stop=(mark,))
    stopped = await read(engine, request_for("smollm", PROMPTS[2], sampling))
    assert stopped.text == whole[: whole.index(mark)]
    assert stopped.finished.reason is FinishReason.STOP


async def test_an_answer_as_long_as_allowed_ends_with_length(engine: TransformersEngine) -> None:
    finished = (await read(engine, request_for("smollm", PROMPTS[2]))).finished
    assert finished.reason is FinishReason.LENGTH
    assert finished.usage.generated_tokens == GREEDY.max_tokens


async def test_a_seeded_answer_does_not_depend_on_its_neighbours(
    engine: TransformersEngine,
) -> None:
    alone = await read(engine, request_for("smollm", PROMPTS[0], CHATTY))
    together = await asyncio.gather(
        *(read(engine, request_for("smollm", text, CHATTY)) for text in PROMPTS[:3])
    )
    assert together[0].text == alone.text
    other = await read(engine, request_for("smollm", PROMPTS[0], replace(CHATTY, seed=4)))
    assert other.text != alone.text


async def test_the_best_of_several_is_the_likeliest_that_ended_by_itself(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[float, bool, list[int]]] = []
    choose = Row.choose

    def recorded(self: Row) -> int | None:
        token = choose(self)
        if len(self.tokens) == 4 and len(chosen) in (1, 2):
            self.is_ended = True
            token = None
        if token is None or len(self.tokens) == 8:
            chosen.append((self.mean_log_probability, token is None, self.tokens))
        return token

    monkeypatch.setattr(Row, "choose", recorded)
    sampling = SamplingParameters(temperature=1.5, max_tokens=8, best_of=4, seed=1)
    answer = await read(engine, request_for("smollm", PROMPTS[0], sampling))
    assert len(chosen) == 4
    best = max(chosen, key=lambda entry: (entry[1], entry[0]))
    assert answer.finished.usage.generated_tokens == len(best[2])
    reference = await in_worker(engine, lambda loop: _decode(loop, best[2]))
    assert answer.text == reference.lstrip()


def _decode(step_loop: StepLoop, ids: list[int]) -> str:
    resident = step_loop.memory.residency.peek("smollm")
    assert resident is not None
    return resident.model.checkpoint.tokenizer.decode(ids)


async def test_a_following_question_reuses_the_cache_and_changes_nothing(
    engine: TransformersEngine,
) -> None:
    first = request_for("llama", PROMPTS[0], cache_key="c")
    answer = await read(engine, first)
    assert answer.finished.usage.cached_tokens == 0
    turns = (*first.turns, Turn(Role.ASSISTANT, answer.text), Turn(Role.USER, PROMPTS[1]))
    follow_up = GenerationRequest("llama", turns, GREEDY, cache_key="c")
    with_cache = await read(engine, follow_up)
    without = await read(engine, replace(follow_up, cache_key="another"))
    assert with_cache.finished.usage.cached_tokens >= answer.finished.usage.prompt_tokens - 5
    assert without.finished.usage.cached_tokens == 0
    assert with_cache.text == without.text


async def test_conversations_and_models_do_not_share_a_cache(engine: TransformersEngine) -> None:
    for model in ("llama", "qwen3"):
        for key in ("one", "two", ""):
            answer = await read(engine, request_for(model, PROMPTS[0], cache_key=key))
            assert answer.finished.usage.cached_tokens == 0
    again = await read(engine, request_for("llama", PROMPTS[0], cache_key=""))
    assert again.finished.usage.cached_tokens == 0


async def test_what_is_forgotten_is_cached_no_more(engine: TransformersEngine) -> None:
    await engine.forget("nothing yet")
    for key in ("home/general/ann", "home/other"):
        await read(engine, request_for("llama", PROMPTS[0], cache_key=key))
    await engine.forget("home/general")
    gone = await read(engine, request_for("llama", PROMPTS[0], cache_key="home/general/ann"))
    kept = await read(engine, request_for("llama", PROMPTS[0], cache_key="home/other"))
    assert gone.finished.usage.cached_tokens == 0
    assert kept.finished.usage.cached_tokens > 0


async def test_forgetting_while_the_engine_begins_is_no_failure(make_engine: MakeEngine) -> None:
    engine = make_engine()
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    assert not starting.done()
    await engine.forget("home/general")
    await starting
    await engine.close()


@pytest.mark.parametrize("is_left", [False, True])
async def test_an_answer_that_runs_while_it_is_forgotten_leaves_nothing(
    engine: TransformersEngine, *, is_left: bool
) -> None:
    persona = Turn(Role.SYSTEM, " ".join(PROMPTS[10:14]))
    turns = (persona, Turn(Role.USER, PROMPTS[0]))
    asked = GenerationRequest("llama", turns, GREEDY, cache_key="home/general/")
    async with engine.stream(asked) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                await engine.forget("home/general")
                if is_left:
                    break
    again = await read(engine, asked)
    assert again.finished.usage.cached_tokens == 0
    assert (await read(engine, asked)).finished.usage.cached_tokens > 0


async def test_system_prompts_are_forgotten_with_any_conversation(
    engine: TransformersEngine,
) -> None:
    persona = Turn(Role.SYSTEM, " ".join(PROMPTS[10:14]))
    turns = (persona, Turn(Role.USER, PROMPTS[0]))
    for key in ("", "home/general"):
        await read(engine, GenerationRequest("smollm", turns, GREEDY, cache_key=key))
    await engine.forget("home/general")
    other = await read(engine, GenerationRequest("smollm", turns, GREEDY, cache_key="home/other"))
    assert other.finished.usage.cached_tokens == 0


async def test_dropped_turns_and_cut_questions_are_told(engine: TransformersEngine) -> None:
    roles = [Role.USER, Role.ASSISTANT]
    turns = tuple(Turn(roles[i % 2], PROMPTS[i % 20]) for i in range(41))
    many = await read(engine, GenerationRequest("smollm", turns, GREEDY))
    assert many.finished.usage.dropped_turns > 0
    long = await read(engine, request_for("smollm", "river " * 2000))
    assert long.finished.usage.cut_tokens > 0
    assert long.finished.error is None


async def test_an_answer_that_is_all_reasoning_is_a_told_failure(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_self: ModelTokenizer, _ids: Sequence[int]) -> bool:
        return True

    monkeypatch.setattr(ModelTokenizer, "opens_reasoning", opened)
    answer = await read(engine, request_for("qwen3", PROMPTS[0]))
    assert answer.text == ""
    assert answer.reasoning
    assert answer.finished.reason is FinishReason.ERROR
    assert "reasoning" in (answer.finished.error or "")


async def test_a_more_urgent_question_goes_first(make_engine: MakeEngine) -> None:
    engine = make_engine(max_rows=1)
    await engine.load("smollm")
    ended: list[str] = []

    async def ask(name: str, **changes: Any) -> None:
        await read(engine, request_for("smollm", PROMPTS[0], **changes))
        ended.append(name)

    async with engine.stream(request_for("smollm", PROMPTS[1], LONG)) as running:
        await anext(running)
        tasks = [
            asyncio.create_task(ask("background", priority=Priority.BACKGROUND)),
            asyncio.create_task(ask("one", fairness_key=("a", "x"))),
            asyncio.create_task(ask("one again", fairness_key=("a", "x"))),
            asyncio.create_task(ask("two", fairness_key=("b", "y"))),
        ]
        await asyncio.sleep(0)
        await in_worker(engine, passes)
    await asyncio.gather(*tasks)
    assert ended == ["one", "two", "one again", "background"]


async def test_unknown_models_are_told(engine: TransformersEngine) -> None:
    answer = await read(engine, request_for("nobody", "hello"))
    assert answer.finished.reason is FinishReason.ERROR
    assert "nobody" in (answer.finished.error or "")
    with pytest.raises(UnknownModel):
        await engine.load("nobody")
