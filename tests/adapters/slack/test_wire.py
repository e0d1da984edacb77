"""The whole bot over real sockets, against the loopback Slack: slack-bolt is unmodified."""

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from bot.errors import StoreUnavailable
from config.errors import ConfigurationError
from tests.adapters.slack.doubles import BOT_TOKEN, WorkspaceServices, started
from tests.adapters.slack.process import bot
from tests.doubles.scripted import ScriptedEngine
from tests.doubles.slow_engine import SlowEngine
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import Fault, running
from tests.slack_server.workspace import CHANNEL, DIRECT
from tests.sockets import settled, until


async def test_a_direct_message_is_answered_without_a_thread(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).say("hello", DIRECT)
        await until(lambda: server.answers(DIRECT) == ["You said: hello"])

        assert "thread_ts" not in server.called("chat.postMessage")[0].arguments


async def test_a_mention_is_answered_in_a_thread_under_it(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        ts = await Member(server).say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])

        assert server.own_messages()[0]["thread_ts"] == ts


@pytest.mark.parametrize("status", [503, 0], ids=["refused", "broken"])
async def test_a_slack_that_gives_no_connection_at_the_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("adapters.slack.client.START_PAUSES_S", (0.01,))
    async with running() as server:
        server.faults += [Fault("apps.connections.open", status=status)] * 2
        async with bot(server.address, tmp_path, ScriptedEngine()):
            await Member(server).say(f"{MENTION} hello")
            await until(lambda: server.answers() == ["You said: hello"])

        assert server.faults == []


async def test_message_and_app_mention_of_one_post_are_answered_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        await Member(server).say(f"{MENTION} hello")
        kinds = [one.payload["event"]["type"] for one in server.envelopes]
        await until(lambda: all(one.answered.is_set() for one in server.envelopes))
        await until(lambda: server.answers() == ["You said: hello"])
        await settled()

        assert kinds == ["app_mention", "message"]
        assert len(engine.requests) == 1
        assert server.answers() == ["You said: hello"]


async def test_further_messages_in_its_thread_are_answered_without_a_mention(
    tmp_path: Path,
) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        ann = Member(server)
        ts = await ann.say(f"{MENTION} hello")
        await until(lambda: len(server.answers()) == 1)
        await ann.say("and now", thread_ts=ts)
        await until(lambda: server.answers() == ["You said: hello", "You said: and now"])
        await ann.say("not for the bot")
        await settled()

        assert len(server.answers()) == 2


@pytest.mark.parametrize("streaming", ["native", "edits"])
async def test_an_answer_grows_in_one_message_and_ends_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: str
) -> None:
    monkeypatch.setattr("adapters.slack.adapter.EDIT_INTERVAL_S", 0.01)
    engine = SlowEngine()
    async with running() as server, bot(server.address, tmp_path, engine, streaming=streaming):
        await Member(server).say(f"{MENTION} hello")
        for number in range(1, 5):
            engine.permits.release()
            await until(lambda seen=f"word {number}": any(seen in one for one in server.answers()))
        assert "stop" in str(server.own_messages()[0]["blocks"])
        engine.end()
        await until(lambda: server.answers()[0].endswith("end"))

        assert len(server.answers()) == 1
        assert len(server.called("chat.appendStream")) >= 3 or streaming == "edits"
        assert len(server.called("chat.update")) >= 3 or streaming == "native"
        assert "fireside:do:stop" not in str(server.own_messages()[0]["blocks"])
        assert "fireside:do:retry" in str(server.own_messages()[0]["blocks"])


async def test_a_failed_store_leaves_the_event_unacknowledged_and_its_retry_is_answered() -> None:
    services = WorkspaceServices()
    services.refusals = [StoreUnavailable("The disk is full.")] * 2
    async with started(services) as slack:
        await slack.ann.say("hello", DIRECT)
        (first,) = slack.server.envelopes
        await until(lambda: not services.refusals or len(services.refusals) == 1)
        await settled()
        assert not first.answered.is_set()
        second = await slack.server.redeliver(first, 1)
        await settled()
        assert not second.answered.is_set()
        assert services.submitted == []
        third = await slack.server.redeliver(first, 2)
        await asyncio.wait_for(third.answered.wait(), 5)

    assert len(services.submitted) == 1


async def test_retries_at_once_after_a_minute_and_after_five_are_answered_once(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        await Member(server).say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])
        for attempt, after_s in enumerate((0, 60, 300), 1):
            server.ahead_s += after_s
            for envelope in server.envelopes[:2]:
                again = await server.redeliver(envelope, attempt)
                await asyncio.wait_for(again.answered.wait(), 5)
        await settled()

    assert len(engine.requests) == 1


async def test_not_all_retries_are_dropped_a_lost_first_delivery_is_answered_from_its_retry(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        ann = Member(server)
        await ann.say("hello", DIRECT, is_heard=False)
        message = next(iter(server.workspace.messages[DIRECT].values()))
        (event,) = ann.events(message, DIRECT)
        await server.deliver("events_api", server.event(event), attempt=1)
        await until(lambda: server.answers(DIRECT) == ["You said: hello"])

    assert len(engine.requests) == 1


async def test_what_is_queued_while_the_socket_is_down_arrives_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.client.PING_INTERVAL_S", 0.2)
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await server.drop()
        await Member(server).say("hello", DIRECT)
        await until(lambda: server.answers(DIRECT) == ["You said: hello"])

        assert server.opened == 2


async def test_a_connection_that_slack_refreshes_is_renewed(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await server.refresh()
        await until(lambda: server.opened == 2 and server.has_bot)
        await Member(server).say("hello", DIRECT)
        await until(lambda: server.answers(DIRECT) == ["You said: hello"])

        assert server.opened == 2


async def test_one_of_two_connections_carries_on_alone(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine(), connections=2):
        assert server.sockets == 2
        await Member(server).say("hello", DIRECT)
        await until(lambda: server.answers(DIRECT) == ["You said: hello"])


async def test_a_wrong_token_is_a_line_for_the_owner(tmp_path: Path) -> None:
    async with running() as server:
        server.tokens = frozenset({"another"})
        with pytest.raises(ExceptionGroup) as caught:
            async with bot(server.address, tmp_path, ScriptedEngine()):
                pass

    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert "invalid_auth" in str(error)
    assert BOT_TOKEN not in str(error)


@pytest.mark.parametrize("status", [502, 0])
async def test_a_client_librarys_own_retry_does_not_post_twice_when_only_the_answer_was_lost(
    tmp_path: Path, status: int
) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        server.faults.append(Fault("chat.postMessage", status=status, is_after=True))
        await Member(server).say("hello", DIRECT)
        await until(lambda: server.called("conversations.history") != [])
        await until(lambda: server.answers(DIRECT) == ["You said: hello"])
        await settled(1.5)

        assert server.answers(DIRECT) == ["You said: hello"]
        assert len(server.called("chat.postMessage")) == 1


async def test_a_process_killed_in_mid_stream_leaves_an_answer_that_the_next_one_completes(
    tmp_path: Path,
) -> None:
    async with running() as server:
        arguments = ["-m", "tests.adapters.slack.process", str(tmp_path), server.address]
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        await until(lambda: server.has_bot)
        await Member(server).say(f"{MENTION} hello")
        await until(lambda: server.answers() != [])
        process.kill()
        await process.wait()
        (streamed,) = server.own_messages()
        assert server.workspace.is_streaming(streamed["ts"])
        async with bot(server.address, tmp_path, ScriptedEngine()):
            await until(lambda: server.answers() == ["You said: hello"])

        assert not server.workspace.is_streaming(streamed["ts"])
        assert len(server.called("chat.startStream")) == 1
        assert server.called("chat.postMessage") == []


async def test_participation_in_a_thread_is_not_forgotten_after_a_restart(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server:
        ann = Member(server)
        async with bot(server.address, tmp_path, ScriptedEngine()):
            ts = await ann.say(f"{MENTION} come in")
            await until(lambda: server.answers() == ["You said: come in"])
        async with bot(server.address, tmp_path, engine):
            await ann.say("go on", thread_ts=ts)
            await until(lambda: server.answers() == ["You said: come in", "You said: go on"])

    (request,) = engine.requests
    assert "come in" in str(request.turns)


async def test_context_is_not_mixed_across_threads(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        for text in ("in one thread", "in another"):
            await Member(server).say(f"{MENTION} {text}")
            await until(lambda text=text: f"You said: {text}" in server.answers())

    (_, later) = engine.requests
    assert "in one thread" not in str(later.turns)


async def test_concurrent_mentions_do_not_vanish(tmp_path: Path) -> None:
    engine = SlowEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        members = [Member(server, user) for user in ("U0ANN", "U0BEN", "U0ADMIN")]
        await asyncio.gather(*(one.say(f"{MENTION} hello") for one in members * 4))
        await until(lambda: engine.asked == 12)
        engine.end()
        await until(lambda: sum(one.endswith("end") for one in server.answers()) == 12)

        assert len(server.answers()) == 12


async def test_no_text_of_a_message_is_in_a_log_at_any_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
            await Member(server).say(f"{MENTION} something-private")
            await until(lambda: server.answers() == ["You said: something-private"])

    assert "connected to Slack" in caplog.text
    assert "something-private" not in caplog.text
    assert BOT_TOKEN not in caplog.text


async def test_an_empty_mention_gets_a_short_friendly_help(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await Member(server).say(MENTION, CHANNEL)
        await until(lambda: len(server.answers()) == 1)

        assert "/help" in server.answers()[0]


async def test_a_switch_in_one_channel_does_not_hit_another(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        server.workspace.add_channel("C0OTHER")
        ben = Member(server, "U0BEN")
        await ben.slash("/model", "use large for channel")
        await until(lambda: any("Large" in one for one in server.answers()))
        await ben.say(f"{MENTION} here")
        await ben.say(f"{MENTION} there", "C0OTHER")
        await until(lambda: len(engine.requests) == 2)

        assert sorted(request.model for request in engine.requests) == ["large", "small"]


async def test_names_and_budgets_of_idle_people_do_not_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.slack.people.MAX_KEPT", 2)
    async with started() as slack:
        for user in ("U0ANN", "U0BEN", "U0ADMIN", "U0ANN"):
            await Member(slack.server, user).say("hello", DIRECT)
            await until(lambda: all(one.answered.is_set() for one in slack.server.envelopes))

        assert len(slack.server.called("users.info")) == 4
