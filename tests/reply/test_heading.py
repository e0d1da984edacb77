"""A public answer to a slash command begins with its question; nothing but what is shown does."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.errors import PlatformUnavailable
from bot.messages import Action, ActionInvoked, CommandInvoked, ConversationRef
from bot.policy.word_list import WordList
from bot.reply.heading import repeated, without_repeated
from tests.doubles.scripted import BEN, CHANNEL, DIRECT, ScriptedEngine, command, question
from tests.running_flow import Flow, running_flow, until

WHY = "> \u2060why?"


def slash(
    name: str, identifier: str = "c1", where: ConversationRef = CHANNEL, **arguments: str
) -> CommandInvoked:
    """A command that others do not see."""
    return replace(command(name, arguments, identifier, conversation=where), is_hidden=True)


def heading(text: str, words: WordList | None = None) -> str:
    return repeated(slash("ask", question=text), words or WordList())


async def shown(flow: Flow, event: CommandInvoked) -> list[str]:
    await flow.submit(event)
    await flow.settle(event.id)
    await until(lambda: flow.orchestrator.in_memory() == 0)
    return [one.text for one in flow.platform.messages(event.id)]


async def test_everybody_sees_what_was_asked_and_no_model_reads_it_as_its_own(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        said = await shown(flow, slash("ask", question="why?"))
        await flow.submit(question("and now?", "q2", BEN))
        await flow.settle("q2")
        seen = [turn.text for turn in flow.engine.requests[-1].turns]
        kept = await flow.store.replies.to("scripted:bot", "c1")

    assert said == [f"{WHY}\n\nYou said: why?"]
    assert "You said: why?" in seen
    assert kept is not None
    assert kept.answer.text == kept.answer.shown == "You said: why?"


async def test_what_is_asked_once_more_is_repeated_too_also_when_its_buttons_go(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("why?"))
        await flow.settle("q1")
        before = await shown(flow, slash("retry"))
        await shown(flow, slash("ask", "c2", question="and then?"))
        await until(lambda: flow.platform.messages("c1")[0].actions == [])

        assert before == [f"{WHY}\n\nYou said: why?"]
        assert [one.text for one in flow.platform.messages("c1")] == before


async def test_an_answer_that_a_restart_delivers_begins_with_what_was_asked_once_more(
    tmp_path: Path,
) -> None:
    streaming_off = {"key": "streaming", "value": "off", "scope": "me"}
    async with running_flow(tmp_path) as flow:
        await flow.submit(command("settings set", streaming_off, "s1"), question("why?"))
        await flow.settle("s1", "q1")
        flow.adapter.failures = [PlatformUnavailable("away")] * 1000
        await flow.submit(slash("retry"))
        await until(lambda: len(flow.adapter.failures) < 1000)
        await flow.orchestrator.drain(0)
    async with running_flow(tmp_path) as flow:
        await flow.settle("c1")
        assert flow.platform.answer("c1") == f"{WHY}\n\nYou said: why?"
        assert flow.engine.requests == []


async def test_only_the_first_message_begins_with_it(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: "word " * 30)
    async with running_flow(tmp_path, engine=engine, max_chars=100) as flow:
        first, *others = await shown(flow, slash("ask", question="why?"))

    assert first.startswith(f"{WHY}\n\nword word")
    assert others
    assert not any("why" in one for one in others)


async def test_a_comparison_begins_with_it_also_once_its_models_are_told(tmp_path: Path) -> None:
    event = slash("compare", question="why?", models="small,large", blind="yes")
    async with running_flow(tmp_path) as flow:
        (before,) = await shown(flow, event)
        await flow.submit(ActionInvoked("v1", CHANNEL, event.author, Action.VOTE_A, "c1"))
        await until(lambda: "1 vote" in flow.platform.answer("c1"))
        after = flow.platform.answer("c1")

    assert before.startswith(f"{WHY}\n\n**A**\n> You said: why?")
    assert after.startswith(f"{WHY}\n\n**A · ")


async def test_an_answer_that_loses_its_buttons_keeps_it(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        before = await shown(flow, slash("ask", question="why?"))
        await shown(flow, slash("ask", "c2", question="and then?"))
        await until(lambda: flow.platform.messages("c1")[0].actions == [])

        assert [one.text for one in flow.platform.messages("c1")] == before


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (command("ask", {"question": "why?"}), "You said: why?"),
        (slash("ask", where=DIRECT, question="why?"), "You said: why?"),
        (slash("reset"), "We start afresh"),
        (slash("ask", question=" "), "QUESTION is missing"),
        (slash("compare", question="why?", models="small"), "MODELS takes two"),
    ],
)
async def test_it_is_left_out_where_it_was_seen_and_where_one_alone_sees_the_answer(
    tmp_path: Path, event: CommandInvoked, said: str
) -> None:
    async with running_flow(tmp_path) as flow:
        (text,) = await shown(flow, event)

    assert text.startswith(said)


def test_it_is_one_line_that_neither_formats_nor_mentions() -> None:
    assert heading("a\n# *b* `c`") == "> \u2060a # \\*b\\* \\`c\\`"
    assert heading("<@42> [x](https://a.example/b_c?d=1)") == (
        "> \u2060\\<@42\\> \\[x\\](https://a.example/b_c?d=1)"
    )
    assert heading("x" * 400) == f"> \u2060{'x' * 300}…"


def test_words_that_are_not_to_be_posted_are_not_repeated() -> None:
    assert heading("darn it", WordList(["darn"])) == ""
    assert heading("darn it", WordList(["darn"], "mask")) == "> \u2060████ it"


@given(st.text(max_size=400), st.text(max_size=40))
def test_an_answer_is_read_without_it_and_else_as_it_is(asked: str, answer: str) -> None:
    assume("\u2060" not in answer)
    assert without_repeated(f"{heading(asked)}\n\n{answer}".lstrip()) == answer.lstrip()
    assert without_repeated(f"> {answer}") == f"> {answer}"
