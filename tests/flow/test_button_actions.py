"""Thumbs, what may be kept with them, and reports."""

from pathlib import Path

import pytest

from bot.errors import PlatformError
from bot.messages import Action, ActionInvoked, Author, ReplyView
from bot.store.ports.ratings import Rating
from tests.doubles.scripted import ACCOUNT, ANN, BEN, CHANNEL, command, question
from tests.running_flow import Flow, running_flow, until

REPORTS = {"scripted": "reports"}


async def pressed(
    flow: Flow, action: Action, by: Author = ANN, target: str = "q1", number: int = 1
) -> ReplyView:
    event = ActionInvoked(f"{action}-{by.id}-{number}", CHANNEL, by, action, target)
    told = await flow.services.submit(event)
    assert told is not None
    assert told.is_private
    return told


async def answered(flow: Flow) -> None:
    await flow.submit(question("why?"))
    await flow.settle("q1")
    await until(lambda: flow.orchestrator.in_memory() == 0)


async def test_who_asked_is_asked_whether_the_words_may_be_kept(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        told = await pressed(flow, Action.GOOD)
        assert told.actions == (Action.KEEP,)
        assert await flow.store.ratings.kept() == []
        assert (await pressed(flow, Action.KEEP)).text.startswith("Kept, thank you")
        (kept,) = await flow.store.ratings.kept()

    assert (kept.model, kept.question, kept.answer) == ("small", "why?", "You said: why?")
    assert kept.rating is Rating.GOOD


async def test_another_members_thumb_counts_and_keeps_no_words(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        told = await pressed(flow, Action.BAD, BEN)
        assert (told.text, told.actions) == ("Noted, thank you.", ())
        refused = await pressed(flow, Action.KEEP, BEN)
        assert refused.text == "Only who asked can let the question be kept."
        assert await flow.store.ratings.of(ACCOUNT, "q1") == {"ben": Rating.BAD}
        assert await flow.store.ratings.kept() == []


async def test_a_later_thumb_changes_what_was_kept(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        await pressed(flow, Action.GOOD)
        await pressed(flow, Action.KEEP)
        await pressed(flow, Action.BAD)
        (kept,) = await flow.store.ratings.kept()

    assert kept.rating is Rating.BAD


async def test_the_answer_of_a_command_is_kept_with_what_was_asked(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(command("ask", {"question": "why?"}))
        await flow.settle("c1")
        await pressed(flow, Action.GOOD, target="c1")
        await pressed(flow, Action.KEEP, target="c1")
        (kept,) = await flow.store.ratings.kept()

    assert (kept.question, kept.answer) == ("why?", "You said: why?")


async def test_without_a_rating_there_is_nothing_to_keep(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        told = await pressed(flow, Action.KEEP)

    assert told.text == "There is no rated answer of a model to keep here."


async def test_a_report_goes_to_the_channel_for_it(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await answered(flow)
        assert flow.platform.messages("q1")[0].actions == ["retry", "good", "bad", "report"]
        told = await pressed(flow, Action.REPORT, BEN)
        (report,) = flow.platform.messages("reports")

    assert told.text == "Reported to those who look after this bot. Thank you."
    assert report.text == (
        "**Ben reports an answer of small in channel general.**\n\n"
        "Ann asked:\n> why?\n\nThe answer:\n> You said: why?"
    )


async def test_a_report_that_fails_is_told(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await answered(flow)
        flow.adapter.failures.append(PlatformError("no such channel"))
        told = await pressed(flow, Action.REPORT)

    assert told.text.startswith("The report could not be delivered")


async def test_without_a_channel_for_reports_there_is_no_button(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        assert flow.platform.messages("q1")[0].actions == ["retry", "good", "bad"]
        assert "named no channel" in (await pressed(flow, Action.REPORT)).text


async def test_an_answer_that_was_no_models_cannot_be_reported(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await flow.submit(command("help"))
        await flow.settle("c1")
        told = await pressed(flow, Action.REPORT, target="c1")

    assert "not kept any more" in told.text


@pytest.mark.parametrize("action", [Action.GOOD, Action.KEEP, Action.REPORT, Action.VOTE_A])
async def test_a_button_of_a_forgotten_question_says_so(tmp_path: Path, action: Action) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        assert "not kept any more" in (await pressed(flow, action)).text
