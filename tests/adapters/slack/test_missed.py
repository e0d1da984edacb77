"""What was said while the bot was away, found again over the loopback Slack."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.messages import IncomingMessage
from bot.platforms.seen_mark import MARK_KEY
from tests.adapters.slack.doubles import WorkspaceServices, connected, now
from tests.adapters.slack.process import bot
from tests.doubles.scripted import ScriptedEngine
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import Fault, SlackServer, running
from tests.slack_server.workspace import CHANNEL, DIRECT
from tests.sockets import settled, until


async def seen(services: WorkspaceServices, seconds_ago: float = 30) -> None:
    """The mark of a process that was there some time ago."""
    mark = now() - timedelta(seconds=seconds_ago)
    await services.state.put(MARK_KEY, f"{mark.timestamp():.6f}")


async def found(server: SlackServer, services: WorkspaceServices, **given: Any) -> list[str]:
    """What a process finds when it starts."""
    async with connected(services, server, **given):
        await settled(0.3)
    return texts(services)


def texts(services: WorkspaceServices) -> list[str]:
    """What was submitted, each message once: the core knows what it has seen."""
    found = {one.id: one.text for one in services.submitted if isinstance(one, IncomingMessage)}
    return list(found.values())


async def test_what_was_missed_is_answered_and_a_back_fill_does_not_answer_one_message_24_times(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine()
    async with running() as server:
        ann = Member(server)
        async with bot(server.address, tmp_path, engine):
            ts = await ann.say(f"{MENTION} hello")
            await until(lambda: server.answers() == ["You said: hello"])
            await settled()
        await ann.say(f"{MENTION} missed", is_heard=False)
        await ann.say("missed too", DIRECT, is_heard=False)
        await ann.say("and in its thread", thread_ts=ts, is_heard=False)
        await ann.say("not for the bot", is_heard=False)
        for _ in range(3):
            async with bot(server.address, tmp_path, engine) as adapter:
                for _ in range(8):
                    await adapter.client.missed.catch_up(adapter.client.own)
                await until(lambda: len(server.answers()) + len(server.answers(DIRECT)) == 4)
                await until(lambda: "fireside:do:stop" not in str(server.workspace.messages))
                await settled()

        assert len(engine.requests) == 4
        assert server.answers(DIRECT) == ["You said: missed too"]
        assert "You said: and in its thread" in server.answers()


async def test_the_first_start_reads_nothing() -> None:
    services = WorkspaceServices()
    async with running() as server:
        await Member(server).say(f"{MENTION} long ago", is_heard=False)
        assert await found(server, services) == []
        assert server.called("conversations.history") == []
        assert await services.state.get(MARK_KEY) is not None


async def test_what_is_older_than_the_bound_is_left() -> None:
    services = WorkspaceServices()
    await seen(services, 5000)
    async with running() as server:
        server.ahead_s = -1000
        await Member(server).say(f"{MENTION} too old", is_heard=False)
        server.ahead_s = 0
        await Member(server).say(f"{MENTION} new", is_heard=False)
        assert await found(server, services) == ["new"]


async def test_no_more_places_are_searched_than_allowed() -> None:
    services = WorkspaceServices()
    await seen(services)
    async with running() as server:
        for number in range(10):
            server.workspace.add_channel(f"C{number}MORE")
        await found(server, services, missed_max_channels=3)

        assert len(server.called("conversations.history")) == 3


@pytest.mark.parametrize("given", [{"missed_max_age_s": 0}, {"missed_max_channels": 0}])
async def test_it_can_be_switched_off(given: dict[str, Any]) -> None:
    services = WorkspaceServices()
    await seen(services)
    async with running() as server:
        await Member(server).say(f"{MENTION} missed", is_heard=False)
        assert await found(server, services, **given) == []


async def test_a_mention_in_a_thread_that_began_meanwhile_is_found() -> None:
    services = WorkspaceServices()
    await seen(services)
    async with running() as server:
        ts = await Member(server, "U0BEN").say("a topic", is_heard=False)
        await Member(server).say(f"{MENTION} missed", thread_ts=ts, is_heard=False)
        assert await found(server, services) == ["missed"]


@pytest.mark.parametrize("method", ["users.conversations", "conversations.history"])
async def test_what_cannot_be_read_does_not_keep_it_from_serving(method: str) -> None:
    services = WorkspaceServices()
    await seen(services)
    async with running() as server:
        server.faults += [Fault(method, "missing_scope")] * 5
        async with connected(services, server):
            await Member(server).say("hello", DIRECT)
            await until(lambda: services.submitted != [])

    assert texts(services) == ["hello"]


async def test_after_a_gap_it_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.slack.missed.KEEP_EVERY_S", 0.02)
    services = WorkspaceServices()
    await seen(services)
    async with running() as server, connected(services, server) as adapter:
        is_up = [False]

        async def is_connected() -> bool:
            return is_up[0]

        missed, own = adapter.client.missed, adapter.client.own
        from bot.concurrency import beside

        async with beside(missed.keep(is_connected, own), is_joined=False):
            await settled()
            await Member(server).say(f"{MENTION} in the gap", CHANNEL, is_heard=False)
            assert services.submitted == []
            is_up[0] = True
            await until(lambda: services.submitted != [])

    assert texts(services) == ["in the gap"]


async def test_many_other_messages_hide_no_mention() -> None:
    services = WorkspaceServices()
    await seen(services)
    async with running() as server:
        await Member(server).say(f"{MENTION} the first of many", is_heard=False)
        for number in range(250):
            await Member(server, "U0BEN").say(f"not for the bot {number}", is_heard=False)
        assert await found(server, services) == ["the first of many"]
