"""What is shown of earlier answers: buttons on the latest one, a new answer after an edit."""

import asyncio
from pathlib import Path

from bot.errors import PlatformError
from bot.messages import Author, ConversationRef, MessageEdited
from tests.doubles.scripted import ANN, BEN, CHANNEL, DIRECT, START, Posted, command, question
from tests.running_flow import Clock, Flow, running_flow, until

ALL = ["retry", "good", "bad"]
NOTE = "you changed your question: Retry answers it anew"
NOTE_WITHOUT_BUTTON = "you changed your question: ask again for a new answer"


def last(flow: Flow, target: str) -> Posted:
    """The message that ends an answer."""
    return flow.platform.messages(target)[-1]


async def ask(
    flow: Flow, identifier: str, author: Author = ANN, where: ConversationRef = CHANNEL
) -> None:
    """Ask, and wait for the whole answer."""
    await flow.submit(question(f"a question named {identifier}", identifier, author, where))
    await flow.settle(identifier)
    await until(lambda: flow.orchestrator.in_memory() == 0)


def edited(text: str) -> MessageEdited:
    """An edit of the first question."""
    return MessageEdited("q1", CHANNEL, text, START)


async def test_only_a_members_latest_answer_carries_buttons(tmp_path: Path) -> None:
    async with running_flow(tmp_path, max_chars=20) as flow:
        await ask(flow, "q1")
        assert last(flow, "q1").actions == ALL
        before = [one.text for one in flow.platform.messages("q1")]
        await ask(flow, "q2")
        await until(lambda: last(flow, "q1").actions == [])
        assert last(flow, "q2").actions == ALL
        assert last(flow, "q1").is_last
        assert [one.text for one in flow.platform.messages("q1")] == before


async def test_buttons_of_other_members_and_places_stay(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "q1")
        await ask(flow, "q2", BEN)
        await ask(flow, "q3", ANN, DIRECT)
        await ask(flow, "q4", BEN)
        await until(lambda: last(flow, "q2").actions == [])
        assert [last(flow, one).actions for one in ("q1", "q3", "q4")] == [ALL, ALL, ALL]


async def test_a_command_leaves_the_buttons_of_the_answer_before_it(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "q1")
        await flow.submit(command("model list"))
        await flow.settle("c1")
        await asyncio.sleep(0.05)
        assert last(flow, "q1").actions == ALL


async def test_buttons_are_withdrawn_from_an_answer_before_a_restart(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "q1")
    async with running_flow(tmp_path) as flow:
        await ask(flow, "q2")
        await until(lambda: last(flow, "q1").actions == [])
        assert last(flow, "q2").actions == ALL


async def test_an_old_answer_is_left_as_it_is(tmp_path: Path) -> None:
    clock = Clock()
    async with running_flow(tmp_path, clock=clock) as flow:
        await ask(flow, "q1")
        clock.move(hours=1)
        await ask(flow, "q2")
        await flow.submit(edited("how"))
        await asyncio.sleep(0.05)
        assert (last(flow, "q1").actions, last(flow, "q1").footer) == (ALL, None)


async def test_a_platform_that_refuses_the_edit_costs_no_answer(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "q1")
        flow.adapter.failures = [PlatformError("not now")]
        await flow.submit(edited("how"))
        await until(lambda: not flow.adapter.failures)
        await ask(flow, "q2")
        assert last(flow, "q1").footer is None


async def test_an_edited_question_is_offered_a_new_answer(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "q1")
        said = flow.platform.answer("q1")
        await flow.submit(edited("how"))
        await until(lambda: last(flow, "q1").footer == NOTE)
        assert last(flow, "q1").actions == ALL
        assert flow.platform.answer("q1") == said


async def test_buttons_that_are_not_wanted_stay_away_after_an_edit(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(
            command("settings set", {"key": "buttons", "value": "none", "scope": "me"})
        )
        await ask(flow, "q1")
        await flow.submit(edited("how"))
        await until(lambda: last(flow, "q1").footer is not None)
        assert (last(flow, "q1").actions, last(flow, "q1").footer) == ([], NOTE_WITHOUT_BUTTON)


async def test_an_edit_that_changes_nothing_offers_nothing(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "q1")
        edits = last(flow, "q1").edits
        await flow.submit(edited("a question\x00 named q1 "))
        await asyncio.sleep(0.05)
        assert last(flow, "q1").edits == edits
