"""What goes wrong with a server, and that no answer is doubled by it."""

import asyncio
import json
import logging

import pytest

from bot.engine.base import (
    FinishReason,
)
from bot.engine.remote.engine import OpenAIEngine
from bot.errors import BrokenModel, EngineUnavailable
from tests.doubles.model_server import ModelServer, Refusal, Stream
from tests.engine.remote.asking import Clock, answer, failed
from tests.engine.remote.conftest import MakeEngine


async def test_a_slow_first_byte_is_waited_for(engine: OpenAIEngine, server: ModelServer) -> None:
    server.plan.append(Stream(words=("late",), is_held=True))
    reading = asyncio.create_task(answer(engine))
    while not server.requests:  # noqa: ASYNC110 - the server's handler says so
        await asyncio.sleep(0)
    server.gate.set()
    assert (await reading).text == "late"


async def test_a_first_byte_that_is_too_slow_is_told_and_not_asked_for_twice(
    make: MakeEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(is_held=True))
    got = await answer(make(server, read_timeout_s=0.2))
    assert "did not answer in time" in failed(got)
    assert len(server.requests) == 1
    async with asyncio.timeout(10):
        await server.stopped.get()


@pytest.mark.parametrize("ends_early", [False, True])
async def test_a_stream_that_is_cut_is_told_and_never_doubled(
    engine: OpenAIEngine, server: ModelServer, ends_early: bool
) -> None:
    server.plan.append(Stream(cut_after=2, ends_early=ends_early))
    got = await answer(engine)
    assert got.text.split() == ["You", "said:"]
    assert "broke in the middle" in failed(got)
    assert len(server.requests) == 1


async def test_a_stream_that_is_cut_before_its_first_word_is_asked_for_again(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.extend([Stream(cut_after=0), Stream(words=("Yes.",))])
    assert (await answer(engine)).text == "Yes."


async def test_what_was_held_back_of_a_broken_attempt_is_not_said(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    """ "<thi" may begin a tag: it is not passed on, and must not stay for the next attempt."""
    server.plan.extend([Stream(words=("<thi", "."), cut_after=1), Stream(words=("Yes.",))])
    assert (await answer(engine)).text == "Yes."


@pytest.mark.parametrize(
    "event",
    [
        "data: {nonsense",
        'data: ["no object"]',
        'data: {"choices": "none"}',
        'data: {"choices": [{"delta": {"content": 5}}]}',
    ],
)
async def test_a_malformed_event_is_told(
    engine: OpenAIEngine, server: ModelServer, event: str
) -> None:
    server.plan.extend([Stream(events=(event,))] * 3)
    assert "failed" in failed(await answer(engine))
    assert len(server.requests) == 3


def said(**delta: object) -> str:
    return event(choices=[{"index": 0, "delta": delta}])


def event(**values: object) -> str:
    return f"data: {json.dumps(values)}"


STOP = event(choices=[{"index": 0, "finish_reason": "stop"}])
DONE = "data: [DONE]"


@pytest.mark.parametrize(
    "events",
    [
        (said(content="Yes."), event(choices=None), STOP, DONE),
        (said(content="Yes."), STOP, event(choices=[], usage={}), DONE),
        (said(content="Yes."), STOP, event(choices=[], usage={"prompt_tokens": 4}), DONE),
        (said(content="Yes."), STOP, event(choices=[], usage="none"), DONE),
        (said(content=[{"type": "text", "text": "Y"}, "es."]), STOP, DONE),
        (said(content=["Yes", {"type": "image_url"}, {"content": "."}]), STOP, DONE),
        (said(reasoning={"content": "Hm."}), said(content="Yes.", reasoning=None), STOP, DONE),
        (said(reasoning={"effort": "low"}), said(content="Yes."), STOP, DONE),
        (said(content="Yes."), DONE),
    ],
)
async def test_an_odd_stream_with_a_whole_answer_is_that_answer(
    engine: OpenAIEngine, server: ModelServer, events: tuple[str, ...]
) -> None:
    """Four in a row: none of them is held against the only server."""
    server.plan.extend([Stream(events=events, cut_after=0, ends_early=True)] * 4)
    for _ in range(4):
        got = await answer(engine)
        assert (got.text, got.finished.error) == ("Yes.", None)
    assert len(server.requests) == 4


async def test_a_stream_that_ends_before_it_says_anything_is_asked_for_again(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    empty = Stream(events=(DONE,), cut_after=0, ends_early=True)
    server.plan.extend([empty, Stream(words=("Yes.",))])
    assert (await answer(engine)).text == "Yes."


@pytest.mark.parametrize(("code", "told"), [(401, "key"), (429, "busy"), (500, "failed")])
async def test_an_error_within_the_stream_is_what_it_is_as_a_status(
    engine: OpenAIEngine, server: ModelServer, code: int, told: str
) -> None:
    within = event(error={"message": "no", "code": code})
    planned = Stream(events=(within,), cut_after=0, ends_early=True)
    server.plan.extend([planned, Refusal(code)] * 3)
    texts = {failed(await answer(engine)) for _ in range(2)}
    assert all(told in text for text in texts)
    assert len(texts) == 1


async def test_a_refusal_after_the_first_word_is_not_asked_for_in_another_form(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    within = event(error={"message": "top_k is not known", "code": 400})
    server.plan.append(Stream(events=(said(content="Yes"), within), cut_after=0, ends_early=True))
    got = await answer(engine, top_k=4)
    assert got.text == "Yes"
    assert "broke in the middle" in failed(got)
    assert len(server.requests) == 1


async def test_an_error_within_the_stream_is_told(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    event = 'data: {"error": {"message": "out of memory, you asked: why?"}}'
    server.plan.extend([Stream(events=(event,))] * 3)
    text = failed(await answer(engine))
    assert "failed" in text
    assert "memory" not in text


async def test_an_endless_event_is_ended(engine: OpenAIEngine, server: ModelServer) -> None:
    server.plan.extend([Stream(events=("data: " + "x" * 3_000_000,))] * 3)
    assert "failed" in failed(await answer(engine))


async def test_a_busy_server_is_left_alone_as_long_as_it_asks(
    engine: OpenAIEngine, server: ModelServer, clock: Clock
) -> None:
    server.plan.append(Refusal(429, headers={"Retry-After": "7"}))
    assert (await answer(engine)).finished.reason is FinishReason.STOP
    assert clock.slept == [7]
    assert len(server.requests) == 2


async def test_a_server_that_is_busy_for_long_is_not_waited_for(
    engine: OpenAIEngine, server: ModelServer, clock: Clock
) -> None:
    server.plan.append(Refusal(429, headers={"Retry-After": "3600"}))
    assert "busy" in failed(await answer(engine))
    assert clock.slept == []
    assert "busy" in failed(await answer(engine))
    assert len(server.requests) == 1


async def test_retry_after_may_be_a_date(
    engine: OpenAIEngine, server: ModelServer, clock: Clock
) -> None:
    server.plan.append(Refusal(503, headers={"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}))
    assert (await answer(engine)).finished.reason is FinishReason.STOP
    assert clock.slept == [0]


async def test_errors_of_the_server_are_tried_again_and_then_told(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Refusal(500))
    assert (await answer(engine)).finished.reason is FinishReason.STOP
    server.plan.extend([Refusal(500), Refusal(502), Refusal(500)])
    assert "failed" in failed(await answer(engine))


async def test_the_wrong_model_is_told(make: MakeEngine, server: ModelServer) -> None:
    engine = make(server, remote_model="other/model")
    assert "does not know far" in failed(await answer(engine))
    with pytest.raises(BrokenModel, match=r"does not serve other/model; it serves: served/model"):
        await engine.load("far")
    assert engine.resident() == []


async def test_another_refusal_is_told_without_the_servers_words(
    engine: OpenAIEngine, server: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.plan.append(Refusal(400, "I will not say: why?"))
    with caplog.at_level(logging.DEBUG):
        text = failed(await answer(engine))
    assert "refuses this question" in text
    assert "will not say" not in text + caplog.text
    assert len(server.requests) == 1


async def test_a_server_that_is_not_there_is_told_after_a_few_attempts(
    make: MakeEngine, server: ModelServer, clock: Clock
) -> None:
    gone = ModelServer()
    gone.url = "http://127.0.0.1:9/v1"
    engine = make(gone)
    assert "cannot be reached" in failed(await answer(engine))
    assert clock.slept == [5, 10]
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        await engine.load("far")
