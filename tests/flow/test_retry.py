"""The buttons under a finished answer: ask again, and say what one thinks of it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.concurrency import beside
from bot.conversation import Role
from bot.engine.base import GenerationRequest
from bot.messages import Action, ActionInvoked, Author, MessageEdited, Quoted
from bot.store.ports.ratings import Rating
from tests.doubles.scripted import (
    ACCOUNT,
    ANN,
    BEN,
    CHANNEL,
    START,
    ScriptedEngine,
    command,
    question,
)
from tests.running_flow import OFTEN, Clock, Flow, running_flow, until

ALL = ["retry", "good", "bad"]


def press(action: Action, by: Author = ANN, identifier: str = "press") -> ActionInvoked:
    """A button under the answer to the first question."""
    return ActionInvoked(identifier, CHANNEL, by, action, "q1")


def numbered(request: GenerationRequest) -> str:
    """Each answer another one, and shorter from time to time."""
    counted.append(request.turns[-1].text)
    return f"{len(counted)}: {request.turns[-1].text} " + "word " * (20 if len(counted) == 1 else 1)


counted: list[str] = []


@pytest.fixture(autouse=True)
def nothing_said_yet() -> None:
    counted.clear()


async def said(flow: Flow, beginning: str) -> None:
    """Wait for an answer that is whole."""
    await until(lambda: flow.platform.answer("q1").startswith(beginning) and _is_whole(flow))
    await until(lambda: flow.orchestrator.in_memory() == 0)


def _is_whole(flow: Flow) -> bool:
    return [one.is_last for one in flow.platform.messages("q1")].count(True) == 1


async def test_a_model_s_answer_can_be_asked_for_again_and_rated(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"), command("model list"))
        await flow.settle("q1", "c1")
        assert [one.actions for one in flow.platform.messages("q1")] == [ALL]
        assert [one.actions for one in flow.platform.messages("c1")] == [[]]


async def test_a_retry_shows_a_new_answer_in_place_of_the_last_one(tmp_path: Path) -> None:
    engine = ScriptedEngine(numbered)
    async with running_flow(tmp_path, engine=engine, max_chars=60) as flow:
        await flow.submit(question("why"))
        await said(flow, "1: why")
        before = [one.id for one in flow.platform.messages()]
        await flow.submit(press(Action.RETRY))
        await said(flow, "2: why")
        await until(lambda: len(flow.platform.messages()) == 1)

    assert len(before) > 1
    assert [one.id for one in flow.platform.messages()] == before[:1]


async def test_a_press_that_is_delivered_twice_is_one_retry(tmp_path: Path) -> None:
    async with running_flow(tmp_path, limits=OFTEN, engine=ScriptedEngine(numbered)) as flow:
        await flow.submit(question("why"))
        await said(flow, "1: why")
        await flow.submit(press(Action.RETRY), press(Action.RETRY))
        await said(flow, "2: why")
        await flow.submit(press(Action.RETRY))
        await asyncio.sleep(0.05)

    assert counted == ["why", "why"]


async def test_an_edited_question_is_asked_again_as_it_reads_now(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(numbered)) as flow:
        await flow.submit(question("why"))
        await said(flow, "1: why")
        await flow.submit(MessageEdited("q1", CHANNEL, "how", START), press(Action.RETRY))
        await said(flow, "2: how")
        assert counted == ["why", "how"]


async def test_a_retry_sees_what_the_question_quotes_when_it_is_pressed(tmp_path: Path) -> None:
    engine = ScriptedEngine(numbered)
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("why"))
        await said(flow, "1: why")
        await flow.submit(replace(press(Action.RETRY), quoted=(Quoted(BEN, "soup is on"),)))
        await until(lambda: len(engine.requests) == 2)
        await said(flow, "2:")

    assert "soup is on" in engine.requests[-1].turns[-1].text


async def test_a_press_while_the_answer_is_still_being_recorded_counts(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(numbered)) as flow:
        finish, may_record = flow.store.inbox.finish, asyncio.Event()

        async def late(*given: Any) -> None:
            await may_record.wait()
            await finish(*given)

        flow.store.inbox.finish = late  # type: ignore[method-assign]
        await flow.submit(question("why"))
        await until(lambda: flow.platform.answer("q1").startswith("1: why") and _is_whole(flow))
        async with beside(flow.submit(press(Action.RETRY)), is_joined=True):
            await asyncio.sleep(0)
            may_record.set()
        await said(flow, "2: why")
        assert counted == ["why", "why"]


async def test_later_questions_see_the_newest_answer_alone(tmp_path: Path) -> None:
    engine = ScriptedEngine(numbered)
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.submit(question("why"))
        await said(flow, "1: why")
        await flow.submit(press(Action.RETRY))
        await said(flow, "2: why")
        await flow.submit(question("and now", "q2"))
        await flow.settle("q2")

    answers = [turn.text for turn in engine.requests[-1].turns if turn.role is Role.ASSISTANT]
    assert answers == ["2: why word"]


@pytest.mark.parametrize(
    ("by", "is_heard"), [(ANN, True), (BEN, False), (replace(BEN, can_manage=True), True)]
)
async def test_a_retry_is_for_who_asked_and_who_manages_the_channel(
    tmp_path: Path, by: Author, *, is_heard: bool
) -> None:
    async with running_flow(tmp_path, limits=OFTEN, engine=ScriptedEngine(numbered)) as flow:
        await flow.submit(question("why"))
        await said(flow, "1: why")
        await flow.submit(press(Action.RETRY, by))
        await asyncio.sleep(0.05)
        await until(lambda: flow.orchestrator.in_memory() == 0)

    assert len(counted) == (2 if is_heard else 1)


async def test_a_retry_of_an_old_question_goes_on_after_a_restart(tmp_path: Path) -> None:
    clock, engine = Clock(), ScriptedEngine(numbered)
    async with running_flow(tmp_path, engine=engine, clock=clock) as flow:
        await flow.submit(question("why"))
        await said(flow, "1: why")
        clock.move(hours=3)
        engine.gate.clear()
        await flow.submit(press(Action.RETRY))
        await until(lambda: len(engine.requests) == 2)
    async with running_flow(tmp_path, engine=ScriptedEngine(numbered), clock=clock) as flow:
        await said(flow, "2: why")

    assert len(flow.platform.messages("q1")) == 1


async def test_a_rating_can_be_changed_and_is_everybody_s_own(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"))
        await flow.settle("q1")
        await flow.submit(
            press(Action.GOOD), press(Action.BAD, BEN, "press2"), press(Action.BAD, ANN, "press3")
        )
        assert await flow.store.ratings.of(ACCOUNT, "q1") == {
            ANN.id: Rating.BAD,
            BEN.id: Rating.BAD,
        }
        await flow.store.recovery.purge(Clock()().replace(year=2100))
        assert await flow.store.ratings.of(ACCOUNT, "q1") == {}


async def test_an_answer_that_is_gone_is_neither_rated_nor_asked_for_again(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(press(Action.GOOD), press(Action.RETRY))
        assert await flow.store.ratings.of(ACCOUNT, "q1") == {}
        assert flow.engine.requests == []


@pytest.mark.parametrize("action", [Action.STOP, Action.RETRY])
async def test_who_may_not_steer_an_answer_is_told_so_alone(tmp_path: Path, action: Action) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("hello"))
        await said(flow, "You said")
        told = await flow.services.submit(press(action, BEN))

        assert told is not None
        assert told.is_private
        assert told.text.startswith("Only who asked")
        assert len(flow.engine.requests) == 1


async def test_a_button_of_a_forgotten_question_says_so(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        told = await flow.services.submit(press(Action.GOOD))

        assert told is not None
        assert told.text == "That question is not kept any more, so there is nothing to do."
