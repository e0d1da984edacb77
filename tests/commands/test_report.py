"""/report, through the whole flow."""

from pathlib import Path

from bot.errors import PlatformError
from bot.messages import Author, ConversationRef
from tests.commands.test_conversation import CutOffEngine
from tests.doubles.scripted import ANN, BEN, DIRECT, Posted, command, question
from tests.running_flow import Flow, running_flow, until

REPORTS = {"scripted": "reports"}


async def reported(flow: Flow, author: Author = BEN, **arguments: str) -> Posted:
    identifier = f"r{len(flow.platform.messages())}"
    await flow.submit(command("report", arguments, identifier, author))
    await flow.settle(identifier)
    (message,) = flow.platform.messages(identifier)
    assert message.is_private
    return message


async def answered(flow: Flow) -> None:
    await flow.submit(question("why?"))
    await flow.settle("q1")
    await until(lambda: flow.orchestrator.in_memory() == 0)


async def test_the_last_answer_here_is_reported_whoever_asked(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await answered(flow)
        told = await reported(flow)
        (report,) = flow.platform.messages("reports")

    assert told.text == (
        "Reported to those who look after this bot. Thank you."
        " It was my last answer here, the one to Ann."
    )
    assert report.text == (
        "**Ben reports an answer of small in channel general.**\n\n"
        "Ann asked:\n> why?\n\nThe answer:\n> You said: why?"
    )


async def test_the_reason_goes_with_the_report(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await answered(flow)
        await reported(flow, ANN, reason="it is rude\x1b\nand wrong")
        (report,) = flow.platform.messages("reports")

    lines = "Ann says why:\n> it is rude\n> and wrong\n\nAnn asked:\n> why?\n\n"
    assert lines in report.text


async def test_a_report_names_the_thread_and_leaves_out_what_was_not_asked(tmp_path: Path) -> None:
    thread = ConversationRef("scripted", "home", "general", "t1")
    async with running_flow(tmp_path, engine=CutOffEngine(), reports=REPORTS) as flow:
        await flow.submit(question("why?", "q1", ANN, thread))
        await flow.submit(command("continue", {}, "c1", ANN, thread))
        await flow.settle("q1", "c1")
        await flow.submit(command("report", {}, "r1", ANN, thread))
        await flow.settle("r1")
        (report,) = flow.platform.messages("reports")

    title, *rest = report.text.splitlines()
    assert title == "**Ann reports an answer of small in channel general/t1.**"
    assert rest[:2] == ["", "The answer:"]


async def test_where_there_are_no_buttons_it_is_the_way_to_report(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await flow.submit(
            command("settings set", {"key": "buttons", "value": "none", "scope": "me"})
        )
        await flow.settle("c1")
        await answered(flow)
        assert flow.platform.messages("q1")[0].actions == []
        await reported(flow, ANN)
        assert len(flow.platform.messages("reports")) == 1


async def test_who_may_not_talk_here_reports_what_they_see(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await answered(flow)
        denied = {"who": "user:ben", "scope": "channel"}
        await flow.submit(command("access deny", denied, "d1", Author("mo", "Mo", can_manage=True)))
        await flow.settle("d1")
        assert (await reported(flow)).text.startswith("Reported")


async def test_without_a_channel_for_reports_it_is_told(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        assert "named no channel" in (await reported(flow)).text


async def test_where_no_model_answered_there_is_nothing_to_report(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await flow.submit(question("why?", "q1", ANN, DIRECT), command("model list"))
        await flow.settle("q1", "c1")
        assert "no answer of a model here" in (await reported(flow)).text
        assert flow.platform.messages("reports") == []


async def test_a_report_that_fails_is_told(tmp_path: Path) -> None:
    async with running_flow(tmp_path, reports=REPORTS) as flow:
        await answered(flow)
        flow.adapter.failures.append(PlatformError("no such channel"))
        assert (await reported(flow)).text.startswith("The report could not be delivered")
