"""Answers of a remote model: words, reasoning, the end, usage, and stopping the server."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.conversation import Role, Turn
from bot.engine.base import (
    Finished,
    FinishReason,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
)
from bot.engine.remote.engine import OpenAIEngine
from bot.errors import UnknownModel
from config.catalogue import EngineKind
from tests.doubles.model_server import ModelServer, Stream
from tests.engine.reading import read, request_for
from tests.engine.remote.asking import answer, ask, entry_for, failed
from tests.engine.remote.conftest import MakeEngine


async def test_words_come_as_they_are_sent_with_the_servers_usage(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(words=("Be", "cause", ".")))
    got = await answer(engine)
    deltas = [event.text for event in got.events if isinstance(event, TextDelta)]
    assert deltas == ["Be", "cause", "."]
    usage = got.finished.usage
    assert (usage.prompt_tokens, usage.generated_tokens, usage.cached_tokens) == (1, 3, 2)
    assert usage.time_to_first_token_s is not None


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_in_a_field_of_its_own_is_no_part_of_the_answer(
    engine: OpenAIEngine, server: ModelServer, field: str
) -> None:
    server.plan.append(
        Stream(
            events=(f'data: {{"choices": [{{"delta": {{"{field}": "hm"}}}}]}}',), words=("Yes.",)
        )
    )
    got = await answer(engine)
    assert (got.reasoning, got.text) == ("hm", "Yes.")


async def test_reasoning_in_tags_is_no_part_of_the_answer(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(words=("<th", "ink>h", "m</think>", "\nYes.")))
    got = await answer(engine)
    assert (got.reasoning, got.text) == ("hm", "Yes.")


async def test_an_answer_of_reasoning_alone_is_a_told_failure(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(words=("hm",), field="reasoning", finish_reason="length"))
    assert "reasoning" in failed(await answer(engine))


async def test_a_stop_string_that_the_server_lets_pass_ends_the_answer_and_the_servers_work(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(words=("One. ", "EN", "D and more ", *["more "] * 10_000)))
    got = await answer(engine, stop=("a", "b", "c", "d", "END"))
    assert (got.text, got.finished.reason) == ("One. ", FinishReason.STOP)
    assert server.last["stop"] == ["a", "b", "c", "d"]
    async with asyncio.timeout(10):
        assert await server.stopped.get() < 10_000


async def test_leaving_the_block_stops_the_server(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(is_endless=True))
    async with engine.stream(ask()) as stream:
        await anext(stream)
    async with asyncio.timeout(10):
        assert await server.stopped.get() > 0


async def test_cancelling_the_reader_before_the_first_word_stops_the_server(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    await engine.load("far")
    server.plan.append(Stream(is_held=True))
    reading = asyncio.create_task(answer(engine))
    while not server.requests:  # noqa: ASYNC110 - the server's handler says so
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(10):
        assert await server.stopped.get() == 0


async def test_comments_and_empty_events_are_passed_over(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(events=(": still here", 'data: {"choices": []}'), words=("Yes.",)))
    assert (await answer(engine)).text == "Yes."


async def test_an_endless_answer_is_ended(engine: OpenAIEngine, server: ModelServer) -> None:
    server.plan.append(Stream(is_endless=True))
    got = await answer(engine, max_tokens=10)
    assert got.finished.reason is FinishReason.LENGTH
    assert len(got.text) <= 10 * 16 + len("more ")
    async with asyncio.timeout(10):
        await server.stopped.get()


async def test_a_server_without_usage_is_estimated(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(words=("Be", "cause"), has_usage=False))
    usage = (await answer(engine)).finished.usage
    assert usage.prompt_tokens > 0
    assert usage.generated_tokens == 2


async def test_a_filtered_answer_is_told(engine: OpenAIEngine, server: ModelServer) -> None:
    server.plan.append(Stream(words=("No",), finish_reason="content_filter"))
    assert "filter" in failed(await answer(engine))


async def test_usage_that_never_comes_does_not_hold_the_answer_up(
    engine: OpenAIEngine, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engine.remote.answer.USAGE_WAIT_S", 0.05)
    server.plan.append(Stream(words=("Yes.",), trailer="data: {nonsense\n\n"))
    got = await answer(engine)
    assert (got.text, got.finished.reason) == ("Yes.", FinishReason.STOP)


async def test_past_the_deadline_the_answer_ends_with_what_there_is(
    make: MakeEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(is_held=True))
    got = await answer(make(server, total_timeout_s=0.2))
    assert got.finished.reason is FinishReason.TIME
    deadline = datetime.now(UTC) - timedelta(seconds=1)
    got = await read(make(server), request_for("far", "why?", deadline=deadline))
    assert got.finished.reason is FinishReason.TIME
    assert len(server.requests) == 1


async def test_what_comes_after_the_end_is_not_said(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    trailer = 'data: {"choices": [{"delta": {"content": "and more"}}]}\n\ndata: [DONE]\n\n'
    server.plan.append(Stream(words=("Yes.",), trailer=trailer))
    got = await answer(engine)
    assert got.text == "Yes."
    assert isinstance(got.events[-1], Finished)
    assert not any(isinstance(event, ReasoningDelta) for event in got.events)


async def test_a_model_that_runs_here_is_unknown_to_this_engine(server: ModelServer) -> None:
    here = entry_for(server).model_copy(update={"engine": EngineKind.TRANSFORMERS})
    engine = OpenAIEngine({"far": here})
    with pytest.raises(UnknownModel):
        await engine.load("far")


async def test_an_answer_that_only_repeats_itself_is_stopped_and_the_server_with_it(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(words=("Sure. ", "I ", "am ", "a ", "no-nonsense ") * 300))
    got = await answer(engine, max_tokens=4000)
    assert got.finished.reason is FinishReason.REPETITION
    # A cycle of seven pieces: it is said 64 times seven tokens at the most before it is noticed.
    assert got.text.count("Sure. ") < 20
    assert await server.stopped.get() < 100


async def test_an_answer_may_repeat_itself_where_nothing_watches(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(words=("no ",) * 300))
    got = await answer(engine, max_tokens=4000, stops_repetition=False)
    assert got.finished.reason is FinishReason.STOP


async def test_what_was_written_of_a_continued_answer_counts_as_repeated(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    written = "I am a no-nonsense person. " * 9
    server.plan.append(Stream(words=(written,) * 2))
    turns = (Turn(Role.USER, "why?"), Turn(Role.ASSISTANT, written))
    request = GenerationRequest("far", turns)
    assert (await read(engine, request)).finished.reason is FinishReason.REPETITION
