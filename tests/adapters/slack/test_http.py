"""HTTP mode: signed requests, the replay window, and the health route, over a real uvicorn."""

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.slack.adapter import build
from bot.errors import StoreUnavailable
from config.errors import ConfigurationError
from tests.adapters.slack.doubles import LoopbackSlack, WorkspaceServices, connected, settings_with
from tests.adapters.slack.process import bot
from tests.doubles.scripted import ScriptedEngine
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import SlackServer, running
from tests.slack_server.workspace import DIRECT
from tests.sockets import settled, until


@asynccontextmanager
async def called_over_http(
    services: WorkspaceServices | None = None,
) -> AsyncGenerator[LoopbackSlack, None]:
    """The adapter in HTTP mode, and a Slack that knows where it is."""
    services = services or WorkspaceServices()
    given: dict[str, Any] = {"mode": "http", "http_port": 0, "connections": 1}
    async with running() as server, connected(services, server, **given) as adapter:
        server.http_url = f"http://127.0.0.1:{adapter.client.http_port}/slack/events"
        yield LoopbackSlack(server, adapter, services)


async def test_the_same_code_answers_over_http(tmp_path: Path) -> None:
    async with (
        running() as server,
        bot(server.address, tmp_path, ScriptedEngine(), mode="http", http_port=0) as adapter,
    ):
        server.http_url = f"http://127.0.0.1:{adapter.client.http_port}/slack/events"
        await Member(server).say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])
        envelope = await Member(server).slash("/ask", "why?")
        assert envelope.answered.is_set()
        await until(lambda: "> \u2060why?\n\nYou said: why?" in server.answers())
        pressed = await Member(server).press("good ")
        assert pressed.answered.is_set()

    assert server.opened == 0


async def test_a_forged_signature_is_refused() -> None:
    async with called_over_http() as slack:
        body = json.dumps(slack.server.event({"type": "app_mention"}))
        status, _ = await slack.server.post_signed(body, secret="f" * 32)

        assert status == 401
        assert slack.submitted == []


async def test_a_signing_secret_is_checked_and_an_unsigned_request_is_refused() -> None:
    async with (
        called_over_http() as slack,
        aiohttp.ClientSession() as session,
        session.post(str(slack.server.http_url), json={"type": "event_callback"}) as answer,
    ):
        assert answer.status == 401


async def test_a_stale_request_is_refused_although_its_signature_is_right() -> None:
    async with called_over_http() as slack:
        message = {"type": "message", "channel": DIRECT, "user": "U0ANN", "ts": "1.0", "text": "x"}
        body = json.dumps(slack.server.event(message))
        assert (await slack.server.post_signed(body, age_s=301))[0] == 401
        assert slack.submitted == []
        assert (await slack.server.post_signed(body, age_s=200))[0] == 200
        assert len(slack.submitted) == 1


async def test_slacks_question_whether_the_address_is_ours_is_answered() -> None:
    async with called_over_http() as slack:
        body = json.dumps({"type": "url_verification", "challenge": "abc"})
        status, text = await slack.server.post_signed(body)

        assert (status, json.loads(text)) == (200, {"challenge": "abc"})


async def test_a_failed_store_leaves_the_event_unacknowledged_over_http_too() -> None:
    services = WorkspaceServices()
    services.refusals = [StoreUnavailable("The disk is full.")]
    async with called_over_http(services) as slack:
        await slack.ann.say("hello", DIRECT)
        (first,) = slack.server.envelopes
        assert not first.answered.is_set()
        again = await slack.server.redeliver(first, 1)
        assert again.answered.is_set()

    assert len(services.submitted) == 1


async def test_a_request_larger_than_any_of_slacks_is_refused() -> None:
    async with called_over_http() as slack:
        status, _ = await slack.server.post_signed("x" * ((1 << 20) + 1))

        assert status == 413


async def test_the_health_route_answers_and_no_other_does() -> None:
    async with called_over_http() as slack, aiohttp.ClientSession() as session:
        base = str(slack.server.http_url).removesuffix("/slack/events")
        async with session.get(f"{base}/health") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        async with session.get(f"{base}/other") as answer:
            assert answer.status == 404


async def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert settings_with().http_host == "127.0.0.1"


async def test_a_port_that_is_taken_is_a_line_for_the_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running() as server:
            with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} cannot be listened on"):
                await _serve(server, port)


async def _serve(server: SlackServer, port: int) -> None:
    given: dict[str, Any] = {"mode": "http", "http_port": port}
    async with connected(WorkspaceServices(), server, **given):
        await settled()


@pytest.mark.parametrize(
    ("mode", "missing", "key"),
    [("socket", "app_token", "APP_TOKEN"), ("http", "signing_secret", "SIGNING_SECRET")],
)
def test_each_mode_asks_for_its_own_secret(mode: str, missing: str, key: str) -> None:
    given: dict[str, Any] = {"mode": mode, missing: None}
    with pytest.raises(ConfigurationError, match=key):
        build(settings_with(**given), WorkspaceServices())
