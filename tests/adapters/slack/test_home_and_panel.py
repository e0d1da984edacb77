"""App Home and the assistant panel, over the loopback Slack."""

import asyncio
from pathlib import Path
from typing import Any

from tests.adapters.slack.doubles import LoopbackSlack, started
from tests.adapters.slack.process import bot
from tests.doubles.scripted import ScriptedEngine
from tests.slack_server.member import Member
from tests.slack_server.server import Fault, SlackServer, running
from tests.slack_server.workspace import DIRECT
from tests.sockets import until


async def open_home(server: SlackServer, tab: str = "home") -> None:
    """Ann looks at the bot's page."""
    event = {"type": "app_home_opened", "user": "U0ANN", "channel": DIRECT, "tab": tab}
    envelope = await server.deliver("events_api", server.event(event))
    await asyncio.wait_for(envelope.answered.wait(), 3)


async def open_panel(server: SlackServer) -> str:
    """Ann opens a new thread in the panel."""
    thread_ts = server.workspace.add(DIRECT, {"user": "U0FIRESIDE", "text": ""})["ts"]
    thread: dict[str, Any] = {
        "user_id": "U0ANN",
        "channel_id": DIRECT,
        "thread_ts": thread_ts,
        "context": {},
    }
    event = {"type": "assistant_thread_started", "assistant_thread": thread}
    for attempt in range(2):
        envelope = await server.deliver("events_api", server.event(event), attempt)
        await asyncio.wait_for(envelope.answered.wait(), 3)
    return str(thread_ts)


def page(slack: SlackServer) -> str:
    """What stands on Ann's page."""
    return str(slack.methods.views.get("U0ANN", {}))


def list_of(server: SlackServer) -> dict[str, Any]:
    """The list of models on Ann's page."""
    blocks = server.methods.views["U0ANN"]["blocks"]
    return next(one for one in blocks if one["type"] == "actions")


async def test_the_page_shows_the_present_model_a_list_and_every_command() -> None:
    async with started(command_prefix="fs-") as slack:
        await open_home(slack.server)
        await until(lambda: slack.server.methods.views != {})

        assert "*Fireside* (`fireside`) answers you." in page(slack.server)
        assert "`/fs-ask QUESTION`" in page(slack.server)
        offered = await slack.ann.suggest(list_of(slack.server), "flan")
        assert len(offered) == 2


async def test_looking_at_the_messages_draws_no_page() -> None:
    async with started() as slack:
        await open_home(slack.server, "messages")
        assert slack.server.called("views.publish") == []


async def test_a_model_picked_there_holds_for_the_member_and_the_page_says_so(
    tmp_path: Path,
) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await open_home(server)
        await until(lambda: "*Small*" in page(server))
        await pick_on_page(server, "large")
        await until(lambda: "*Large* (`large`) answers you." in page(server))
        assert "from the next message on" in page(server)
        await pick_on_page(server, "absent")
        await until(lambda: "not installed" in page(server))
        assert "*Large*" in page(server)


async def pick_on_page(server: SlackServer, value: str) -> None:
    """Ann picks a model on her page: it stands in no channel."""
    block = list_of(server)
    payload: dict[str, Any] = {
        "type": "block_actions",
        "team": {"id": "T0HOME", "domain": "home"},
        "user": {"id": "U0ANN", "team_id": "T0HOME"},
        "container": {"type": "view", "view_id": "V1"},
        "view": {"id": "V1", "type": "home"},
        "actions": [
            {
                "type": "external_select",
                "action_id": block["elements"][0]["action_id"],
                "block_id": block["block_id"],
                "selected_option": {"value": value},
            }
        ],
        "trigger_id": f"{server.workspace.number()}.trigger",
    }
    envelope = await server.deliver("interactive", payload)
    await asyncio.wait_for(envelope.answered.wait(), 3)


async def test_the_panel_greets_once_and_suggests_what_to_ask() -> None:
    async with started(suggested_prompts=("What is fire?",)) as slack:
        thread_ts = await open_panel(slack.server)
        await until(lambda: slack.server.methods.prompts != [])

        assert len(slack.server.answers(DIRECT)) == 1
        (prompts,) = slack.server.methods.prompts
        assert prompts["thread_ts"] == thread_ts
        assert prompts["prompts"] == [{"title": "What is fire?", "message": "What is fire?"}]


async def test_the_first_question_gives_a_thread_of_the_panel_its_title() -> None:
    async with started(suggested_prompts=()) as slack:
        thread_ts = await open_panel(slack.server)
        question = "what is fire, and why does it burn so long in long winter nights?"
        await slack.ann.say(question, DIRECT, thread_ts)
        await until(lambda: slack.server.methods.titles != [])

        assert slack.server.methods.titles[0]["title"] == f"{question[:59]}…"
        assert slack.server.methods.prompts == []


async def test_the_panel_is_answered_in_its_thread_with_a_status(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        thread_ts = await open_panel(server)
        await Member(server).say("hello", DIRECT, thread_ts)
        await until(lambda: "You said: hello" in server.answers(DIRECT))

        assert server.own_messages(DIRECT)[-1]["thread_ts"] == thread_ts
        assert server.methods.status_log[0]["status"] == "is thinking…"


async def test_what_fails_beside_the_answers_costs_nothing() -> None:
    async with started() as slack:
        slack.server.faults.append(Fault("views.publish", "internal_error"))
        await open_home(slack.server)
        await until(lambda: slack.server.called("views.publish") != [])
        assert await answered(slack)


async def answered(slack: LoopbackSlack) -> bool:
    """Whether it still hears."""
    return (await slack.say("hello")).text == "hello"
