"""Slash commands, commands in messages, and pickers, over the loopback Slack."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.slack.commands import choice_to_make, options, parsed_line, pick_of, picker
from bot.adapter import Choice
from bot.command import Caller, Command, Outcome, Parameter, ParameterKind, Said
from bot.commands.build import described_registry
from bot.errors import StoreUnavailable
from bot.messages import Addressed, CommandInvoked, IncomingMessage, ReplyView
from tests.adapters.slack.doubles import WorkspaceServices, started
from tests.adapters.slack.process import bot
from tests.doubles.scripted import ScriptedEngine
from tests.doubles.slow_engine import SlowEngine
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import Envelope, running
from tests.slack_server.workspace import CHANNEL, DIRECT, PRIVATE
from tests.sockets import settled, until


async def answer_of(envelope: Envelope) -> dict[str, Any]:
    """What an interaction was acknowledged with, in time."""
    await asyncio.wait_for(envelope.answered.wait(), 3)
    assert envelope.answer is not None
    return envelope.answer


async def _run(caller: Caller, arguments: object) -> Outcome:
    del caller, arguments
    return Said("done")


async def test_a_slash_command_is_submitted_and_acknowledged_without_a_word() -> None:
    async with started() as slack:
        envelope = await slack.ann.slash("/model", "use flan-t5-small for channel")

        assert await answer_of(envelope) == {}
        (event,) = slack.submitted
        assert isinstance(event, CommandInvoked)
        assert (event.name, dict(event.arguments)) == (
            "model use",
            {"name": "flan-t5-small", "scope": "channel"},
        )
        assert event.author.name == "Ann"
        assert event.conversation.thread_id is None


async def test_a_wrong_command_is_answered_with_its_usage_for_the_caller_alone() -> None:
    async with started() as slack:
        answer = await answer_of(await slack.ann.slash("/model", "whatever"))

        assert answer["response_type"] == "ephemeral"
        assert "/model use NAME" in answer["text"]
        assert slack.submitted == []


async def test_a_prefix_keeps_commands_of_other_apps_apart() -> None:
    async with started(command_prefix="fs-") as slack:
        await answer_of(await slack.ann.slash("/fs-model", "use fireside"))
        await slack.ann.say(f"{MENTION} /fs-model use fireside")
        await slack.ann.say(f"{MENTION} /model use fireside")
        await until(lambda: len(slack.submitted) >= 5)

        assert {one.name for one in slack.submitted if isinstance(one, CommandInvoked)} == {
            "model use"
        }


async def test_a_missing_choice_is_picked_from_a_list() -> None:
    async with started() as slack:
        answer = await answer_of(await slack.ann.slash("/model", "use for channel"))
        block = answer["blocks"][-1]
        offered = await slack.ann.suggest(block, "flan")
        envelope = await slack.ann.pick(block, "flan-t5-base")
        await answer_of(envelope)
        await until(lambda: slack.server.responses != [])

        assert [one["value"] for one in offered] == ["flan-t5-base", "flan-t5-small"]
        (event,) = slack.submitted
        assert isinstance(event, CommandInvoked)
        assert dict(event.arguments) == {"name": "flan-t5-base", "scope": "channel"}
        assert slack.server.responses == [{"delete_original": True}]


async def test_a_list_that_is_none_of_ours_offers_nothing() -> None:
    async with started() as slack:
        block = {"block_id": "x", "elements": [{"action_id": "fireside:pick", "type": "x"}]}
        assert await slack.ann.suggest(block, "a") == []
        await answer_of(await slack.ann.pick(block, "a"))
        assert slack.submitted == []


async def test_a_command_that_the_store_does_not_take_is_told_to_its_caller() -> None:
    services = WorkspaceServices()
    services.refusals = [StoreUnavailable("/srv/fireside.db is locked.")]
    async with started(services) as slack:
        answer = await answer_of(await slack.ann.slash("/ask", "why?"))

    text = "I cannot reach my database just now. Please try again in a few minutes."
    assert answer == {"response_type": "ephemeral", "text": text}


async def test_a_slash_command_is_acknowledged_while_the_model_is_still_silent(
    tmp_path: Path,
) -> None:
    engine = SlowEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        assert await answer_of(await Member(server).slash("/ask", "why?")) == {}
        await until(lambda: engine.asked == 1)
        engine.end()
        await until(lambda: any(one.endswith("end") for one in server.answers()))

        assert server.responses == []


async def test_the_answer_to_a_command_grows_in_the_channel(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).slash("/ask", "what is &lt;b&gt; in <#C0GENERAL|general>?")
        asked, said = "> \u2060what is \\<b\\> in #general?", "You said: what is <b> in #general?"
        await until(lambda: server.answers() == [f"{asked}\n\n{said}"])

        assert server.responses == []


async def test_a_command_in_a_message_is_seen_there_and_not_repeated(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).say(f"{MENTION} /ask why?")
        await until(lambda: server.answers() == ["You said: why?"])
        await settled()

        assert server.answers() == ["You said: why?"]
        assert server.responses == []


async def test_who_is_shut_out_by_a_mention_is_named_as_it_says(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).slash("/access", "deny <@U0BEN|ben> for channel", DIRECT)
        await until(lambda: len(server.answers(DIRECT)) == 1)

        assert server.answers(DIRECT)[0].startswith("`@ben` may not talk to me any more")


@pytest.mark.parametrize("begin", ["", f"{MENTION} "])
async def test_the_lists_of_who_are_set_with_mentions_as_slack_writes_them(
    tmp_path: Path, begin: str
) -> None:
    mentions = "<@U0BEN|ben>, <@U0ANN> <!subteam^S0MODS|@mods> <!subteam^S0DOCS>"
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        member, line = Member(server), f"set Deny {mentions} for channel"
        if begin:
            await member.say(f"{begin}/settings {line}", DIRECT)
        else:
            await member.slash("/settings", line, DIRECT)
        await until(lambda: len(server.answers(DIRECT)) == 1)

        said = server.answers(DIRECT)[0]
        assert said.startswith("deny is `user:U0BEN, user:U0ANN, role:S0MODS, role:S0DOCS` for")


def test_other_settings_are_given_names_for_mentions() -> None:
    line, written = "/settings set persona Be @ben", "/settings set persona Be <@U0BEN|ben>"
    assert parsed_line(described_registry(), line, written).arguments["value"] == "Be @ben"


async def test_where_the_bot_is_no_member_the_answer_comes_whole_through_the_response_url(
    tmp_path: Path,
) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).slash("/ask", "why?", PRIVATE)
        await until(lambda: server.responses != [])
        await settled()

        (said,) = server.responses
        assert said["response_type"] == "in_channel"
        assert said["blocks"][0]["text"] == "> \u2060why?\n\nYou said: why?"


async def test_a_private_answer_is_seen_by_its_caller_alone(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).slash("/model", "list")
        await until(lambda: server.responses != [])
        (said,) = server.responses
        assert said["response_type"] == "ephemeral"
        assert "small" in said["text"]

        await Member(server).say(f"{MENTION} /model list")
        await until(lambda: server.methods.ephemeral != [])
        assert server.methods.ephemeral[0]["user"] == "U0ANN"
        assert server.answers() == []


async def test_after_its_half_hour_an_answer_does_without_the_response_url() -> None:
    time = [datetime.now(UTC)]
    async with started(at=lambda: time[0]) as slack:
        event = await slack.command("ask", {"question": "why?"})
        time[0] += timedelta(minutes=31)
        view = ReplyView("late", is_complete=True, is_private=True)
        await slack.adapter.post(event.target, view, "k.0")

        assert slack.server.responses == []
        assert slack.server.methods.ephemeral[0]["text"] == "late"


async def test_a_response_url_that_has_run_out_is_done_without() -> None:
    async with started() as slack:
        event = await slack.command("ask", {"question": "why?"})
        slack.server.response_status = 404
        view = ReplyView("late", is_complete=True, is_private=True)
        await slack.adapter.post(event.target, view, "k.0")

        assert slack.server.methods.ephemeral[0]["text"] == "late"


async def test_a_sixth_message_through_one_response_url_is_not_tried() -> None:
    async with started() as slack:
        event = await slack.command("ask", {"question": "why?"})
        for number in range(6):
            view = ReplyView(f"part {number}", number, is_complete=True, is_private=True)
            await slack.adapter.post(event.target, view, f"k.{number}")

        assert len(slack.server.responses) == 5
        assert slack.server.methods.ephemeral[0]["text"] == "part 5"


async def test_a_mention_with_a_command_is_run_once_and_answered_in_a_thread(
    tmp_path: Path,
) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        ts = await Member(server).say(f"{MENTION} /model use large for me")
        await until(lambda: len(server.answers()) == 1)
        await settled()

        (answer,) = server.own_messages()
        assert "Large" in answer["text"]
        assert answer["thread_ts"] == ts


async def test_a_command_in_a_direct_message_is_run_with_its_usage_told(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).say("/model use large extra", DIRECT)
        await until(lambda: server.methods.ephemeral != [])
        assert "Usage: /model use NAME" in server.methods.ephemeral[0]["text"]


async def test_a_wrong_command_in_a_mention_is_told_once_although_it_arrives_twice() -> None:
    async with started() as slack:
        await slack.ann.say(f"{MENTION} /modle use x")
        await until(lambda: all(one.answered.is_set() for one in slack.server.envelopes))

        (told,) = slack.server.methods.ephemeral
        assert "Did you mean /model use?" in told["text"]
        assert slack.submitted == []


async def test_a_path_at_the_beginning_of_a_question_is_no_command() -> None:
    async with started() as slack:
        event = await slack.say("/etc/hosts is what?")

        assert isinstance(event, IncomingMessage)
        assert event.addressed is Addressed.DIRECT


async def test_a_command_in_a_thread_is_the_threads_own() -> None:
    async with started() as slack:
        ts = await slack.ben.say("a topic")
        await slack.ann.say(f"{MENTION} /model use fireside", thread_ts=ts)
        await until(lambda: slack.submitted != [])

        (event, *_) = slack.submitted
        assert isinstance(event, CommandInvoked)
        assert event.conversation.thread_id == ts


def test_a_list_of_a_few_words_is_static_and_one_of_models_is_asked_for() -> None:
    choice = Parameter("key", "which", choices=tuple(f"c{number}" for number in range(9)))
    model = Parameter("name", "which", ParameterKind.MODEL)
    command = Command("x y", "Do it", _run, (choice, model))

    assert choice_to_make(command, {}) == choice
    assert choice_to_make(command, {"key": "c1"}) == model
    assert choice_to_make(command, {"key": "c1", "name": "m"}) is None
    static = picker(command, choice, {})[-1]["elements"][0]
    external = picker(command, model, {"key": "c1"})[-1]["elements"][0]
    assert (static["type"], len(static["options"])) == ("static_select", 9)
    assert external["type"] == "external_select"


def test_free_text_is_not_picked_from_a_list() -> None:
    command = Command("ask", "Ask", _run, (Parameter("question", "what"),))
    assert choice_to_make(command, {}) is None


def test_what_a_list_is_for_comes_back_from_its_block() -> None:
    model = Parameter("name", "which", ParameterKind.MODEL)
    command = Command("model use", "Use", _run, (model,))
    block = picker(command, model, {"scope": "me"})[-1]
    pick = pick_of(block["block_id"])

    assert pick is not None
    assert (pick.command, pick.parameter, pick.arguments) == ("model use", "name", {"scope": "me"})
    assert picker(command, model, {"scope": "m" * 300}) == []


def test_no_list_is_longer_than_slack_shows() -> None:
    assert len(options([Choice(str(number), str(number)) for number in range(300)])) == 100
    assert CHANNEL
