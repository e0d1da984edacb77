"""Slack on loopback: Web API, Socket Mode and signed requests, as far as the bot uses them.

slack-bolt talks to it unmodified, over real sockets. It is strict: an unknown method or parameter
is remembered, and `running` fails the test for it.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from tests.doubles.journal import Change, Written
from tests.slack_server.methods import SPECS, Methods, scope_needed
from tests.slack_server.workspace import (
    APP_ID,
    BOT_ID,
    BOT_USER,
    CHANNEL,
    TEAM,
    Json,
    RefusedError,
    Workspace,
    visible,
)

WRITES = {
    "chat.postMessage": Change.POSTED,
    "chat.startStream": Change.POSTED,
    "chat.update": Change.EDITED,
    "chat.appendStream": Change.EDITED,
    "chat.stopStream": Change.EDITED,
    "chat.delete": Change.DELETED,
}
"""The methods that change what members see."""

SIGNING_SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Call:
    """One call of the Web API."""

    method: str
    arguments: Json
    token: str
    at: float


@dataclass
class Fault:
    """What the next call of a method is answered with; with `is_after` its effect takes place.

    With status 0 the connection is broken instead of an answer.
    """

    method: str
    error: str = "internal_error"
    status: int = 200
    retry_after: int | None = None
    is_after: bool = False


@dataclass
class Envelope:
    """Something that was delivered over a socket; `answer` is its acknowledgement."""

    id: str
    kind: str
    payload: Json
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Json | None = None


class SlackServer:
    """One workspace with the bot in it. `journal` is everything that the bot made it show."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.workspace = Workspace(lambda: time.time() + self.ahead_s)
        self.methods = Methods(self.workspace)
        self.calls: list[Call] = []
        self.journal: list[Written] = []
        self.unknown: list[str] = []
        self.faults: list[Fault] = []
        self.tokens: frozenset[str] | None = None
        self.scopes: frozenset[str] | None = None
        self.limits: dict[str, tuple[int, float]] = {}
        self.refused_429 = 0
        self.refusals: list[tuple[str, str]] = []
        self.envelopes: list[Envelope] = []
        self.waiting: list[Envelope] = []
        self.responses: list[Json] = []
        self.response_status = 200
        self.files: dict[str, bytes] = {}
        self.file_tokens: list[str] = []
        self.address = ""
        self.opened = 0
        self.http_url: str | None = None
        self._made: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._sockets: list[web.WebSocketResponse] = []

    # The Web API.

    async def web_api(self, request: web.Request) -> web.StreamResponse:
        """Every call: authorised, counted, limited, and answered by its method or with a fault."""
        method = request.match_info["method"]
        arguments = await _arguments(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.calls.append(Call(method, arguments, token, time.monotonic()))
        if method not in SPECS:
            self.unknown.append(method)
            return _answer({"ok": False, "error": "unknown_method"})
        if unknown := SPECS[method].unknown(arguments):
            self.unknown.append(f"{method}: parameters {sorted(unknown)}")
        if self.tokens is not None and token not in self.tokens:
            return _answer({"ok": False, "error": "invalid_auth"})
        fault = next((one for one in self.faults if one.method == method), None)
        if fault is not None:
            self.faults.remove(fault)
            if not fault.is_after:
                return _faulty(fault, request)
        if (limited := self._limited(method, arguments)) is not None:
            return limited
        answer = self._answered(method, arguments)
        if fault is not None:
            return _faulty(fault, request)
        held = {"x-oauth-scopes": ",".join(sorted(self.scopes))} if self.scopes else None
        return _answer(answer, headers=held)

    def _answered(self, method: str, arguments: Json) -> Json:
        needed = scope_needed(method, arguments)
        if needed and self.scopes is not None and needed not in self.scopes:
            return {"ok": False, "error": "missing_scope", "needed": needed}
        if method == "apps.connections.open":
            self.opened += 1
            return {"ok": True, "url": f"{self.address.replace('http', 'ws', 1)}/socket"}
        ts = str(arguments.get("ts", ""))
        known = self.workspace.messages.get(str(arguments.get("channel")), {}).get(ts)
        try:
            answer = self.methods.call(method, arguments)
            if method in WRITES:
                self._note(WRITES[method], arguments, str(answer.get("ts", ts)), known)
            return {"ok": True, **answer}
        except RefusedError as error:
            self.refusals.append((method, str(error)))
            return {"ok": False, "error": str(error)}

    def _note(self, change: Change, arguments: Json, ts: str, before: Json | None) -> None:
        """Write down what a write of the bot made a message show."""
        channel = str(arguments["channel"])
        message = self.workspace.messages[channel].get(ts) or before or {}
        metadata: Json = message.get("metadata") or {}
        text = "" if change is Change.DELETED else visible(message)
        place = f"{channel}/{message.get('thread_ts') or ''}"
        is_reply = metadata.get("event_type") == "fireside_reply"
        answers = metadata["event_payload"]["question"] if is_reply else None
        self.journal.append(Written(time.monotonic(), change, ts, place, text, answers))

    def _limited(self, method: str, arguments: Json) -> web.Response | None:
        """A 429 where a method is called more often than is allowed."""
        if method not in self.limits:
            return None
        limit, window_s = self.limits[method]
        place = str(arguments.get("channel", "")) if method == "chat.postMessage" else ""
        now, made = time.monotonic(), self._made[method, place]
        while made and made[0] <= now - window_s:
            made.popleft()
        if len(made) < limit:
            made.append(now)
            return None
        self.refused_429 += 1
        return _refused(Fault(method, "ratelimited", 429, retry_after=1))

    async def file(self, request: web.Request) -> web.Response:
        """A private file."""
        self.file_tokens.append(request.headers.get("Authorization", ""))
        data = self.files.get(request.match_info["name"])
        return web.Response(status=404) if data is None else web.Response(body=data)

    async def response(self, request: web.Request) -> web.Response:
        """What is posted to a `response_url`."""
        if self.response_status == 200:
            self.responses.append(await request.json())
        return web.Response(status=self.response_status)

    # Socket Mode.

    @property
    def has_bot(self) -> bool:
        """Whether a bot is connected."""
        return any(not socket.closed for socket in self._sockets)

    @property
    def sockets(self) -> int:
        """How many connections there are."""
        return sum(not socket.closed for socket in self._sockets)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, until either side closes it."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1, "debug_info": {}})
        self._sockets.append(socket)
        waiting, self.waiting = self.waiting, []
        for envelope in waiting:
            await self._send(envelope, 0)
        try:
            async for received in socket:
                if received.type is WSMsgType.TEXT:
                    self._acknowledged(json.loads(received.data))
        finally:
            self._sockets.remove(socket)
        return socket

    def _acknowledged(self, received: Json) -> None:
        for envelope in self.envelopes:
            if envelope.id == received["envelope_id"]:
                envelope.answer = received.get("payload") or {}
                envelope.answered.set()

    async def upload(self, request: web.Request) -> web.Response:
        """The bytes of a file that was announced."""
        self.methods.uploads[request.match_info["id"]].data = await request.read()
        return web.Response(text="OK")

    async def deliver(self, kind: str, payload: Json, attempt: int = 0) -> Envelope:
        """Deliver something, over a socket or as a signed request; unconnected, it waits."""
        envelope = Envelope(f"E{self.workspace.number()}", kind, payload)
        self.envelopes.append(envelope)
        if self.http_url is not None:
            await self._post(envelope, attempt)
        elif self.has_bot:
            await self._send(envelope, attempt)
        else:
            self.waiting.append(envelope)
        return envelope

    async def redeliver(self, envelope: Envelope, attempt: int) -> Envelope:
        """Slack's retry: the same payload again, in an envelope of its own."""
        return await self.deliver(envelope.kind, envelope.payload, attempt)

    async def _send(self, envelope: Envelope, attempt: int) -> None:
        socket = next(one for one in reversed(self._sockets) if not one.closed)
        retry = {"retry_attempt": attempt, "retry_reason": "timeout"} if attempt else {}
        about = {"envelope_id": envelope.id, "type": envelope.kind, "payload": envelope.payload}
        with suppress(ConnectionError):  # it died a moment ago
            await socket.send_json(about | {"accepts_response_payload": True} | retry)

    async def drop(self) -> None:
        """Break every connection."""
        for socket in list(self._sockets):
            await socket.close(code=1001)

    async def refresh(self) -> None:
        """Ask every connection to be renewed, as Slack does every few hours."""
        for socket in list(self._sockets):
            await socket.send_json({"type": "disconnect", "reason": "refresh_requested"})

    # Signed requests.

    async def _post(self, envelope: Envelope, attempt: int) -> None:
        body, content_type = _http_body(envelope)
        retry = {"x-slack-retry-num": str(attempt), "x-slack-retry-reason": "http_timeout"}
        status, text = await self.post_signed(body, content_type, retry if attempt else {})
        if status == 200:
            envelope.answer = json.loads(text) if text.startswith("{") else {"text": text}
            envelope.answered.set()

    async def post_signed(
        self,
        body: str,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        *,
        age_s: float = 0.0,
        secret: str = SIGNING_SECRET,
    ) -> tuple[int, str]:
        """A request that is signed as Slack signs it."""
        stamp = str(int(time.time() - age_s))
        base = f"v0:{stamp}:{body}".encode()
        signature = "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
        signed = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}
        data = BytesIO(body.encode())
        all_headers = {"Content-Type": content_type, **signed, **(headers or {})}
        async with (
            aiohttp.ClientSession() as session,
            session.post(str(self.http_url), data=data, headers=all_headers) as answer,
        ):
            return answer.status, await answer.text()

    # What a test looks at.

    def called(self, method: str) -> list[Call]:
        """The calls of a method, in order."""
        return [one for one in self.calls if one.method == method]

    def answers(self, channel: str = CHANNEL) -> list[str]:
        """What the bot shows in a channel and its threads."""
        messages = self.workspace.messages.get(channel, {}).values()
        return [visible(one) for one in messages if one.get("bot_id") == BOT_ID]

    def own_messages(self, channel: str = CHANNEL) -> list[Json]:
        """The bot's messages in a channel and its threads."""
        messages = self.workspace.messages.get(channel, {}).values()
        return [one for one in messages if one.get("bot_id") == BOT_ID]

    def event(self, event: Json, team: str = TEAM) -> Json:
        """An event in its wrapping."""
        return {
            "token": "verification",
            "team_id": team,
            "api_app_id": APP_ID,
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{self.workspace.number():010}",
            "event_time": int(time.time()),
            "authorizations": [
                {"enterprise_id": None, "team_id": TEAM, "user_id": BOT_USER, "is_bot": True}
            ],
            "is_ext_shared_channel": False,
        }


async def _arguments(request: web.Request) -> Json:
    if request.method == "GET":
        return dict(request.query)
    raw = await request.read()
    if request.content_type == "application/json" and raw:
        return json.loads(raw)
    return {**request.query, **dict(await request.post())}


def _http_body(envelope: Envelope) -> tuple[str, str]:
    form = "application/x-www-form-urlencoded"
    match envelope.kind:
        case "events_api":
            return json.dumps(envelope.payload), "application/json"
        case "slash_commands":
            return urlencode(envelope.payload), form
        case _:
            return urlencode({"payload": json.dumps(envelope.payload)}), form


def _answer(
    data: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.json_response(data, status=status, headers=headers)


def _faulty(fault: Fault, request: web.Request) -> web.Response:
    if fault.status == 0 and request.transport is not None:
        request.transport.abort()
    return _refused(fault)


def _refused(fault: Fault) -> web.Response:
    if fault.status >= 500 or fault.status == 0:
        return web.Response(
            status=fault.status or 500, text="<html>oops</html>", content_type="text/html"
        )
    headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else None
    return _answer({"ok": False, "error": fault.error}, fault.status, headers)


@asynccontextmanager
async def running(server: SlackServer | None = None) -> AsyncGenerator[SlackServer, None]:
    """A server on a free port; whatever it did not know fails the test."""
    server = server or SlackServer()
    routes = web.Application()
    routes.router.add_get("/socket", server.socket)
    routes.router.add_get("/files/{name}", server.file)
    routes.router.add_post("/response/{id}", server.response)
    routes.router.add_post("/upload/{id}", server.upload)
    routes.router.add_route("*", "/api/{method}", server.web_api)
    async with TestServer(routes) as loopback:
        server.address = str(loopback.make_url("")).rstrip("/")
        server.methods.address = server.address
        yield server
        await server.drop()
        await asyncio.sleep(0)
    assert server.unknown == []
