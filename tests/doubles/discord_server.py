"""Discord on loopback: its REST interface and its gateway, as far as the bot uses them.

discord.py talks to it unmodified, over real sockets. It is strict: an unknown route or parameter
is remembered, and `running` fails the test for it. What it cannot show is told in `simcord`'s
suite: permissions, views and their like.
"""

import asyncio
import json
import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from tests.doubles.discord_objects import (
    BOT_ID,
    CHANNEL_ID,
    GUILD_ID,
    Json,
    application,
    bot_user,
    guild,
    member,
    profile,
)
from tests.doubles.journal import Change, Written

EPOCH_MS = 1_420_070_400_000
MESSAGE_CONTENT_FLAG = 1 << 18
EPHEMERAL = 1 << 6
MAX_CONTENT = 2000
MESSAGE_KEYS = frozenset(
    {"content", "tts", "nonce", "enforce_nonce", "allowed_mentions", "message_reference"}
    | {"components", "flags", "embeds", "attachments"}
)


@dataclass
class Request:
    """One call of the REST interface."""

    method: str
    path: str
    body: Json
    at: float


@dataclass
class Fault:
    """What the next matching call is answered with; with `is_after` its effect takes place.

    With status 0 the connection is broken instead of an answer.
    """

    method: str
    path: str
    status: int
    body: object = None
    is_after: bool = False


class DiscordServer:
    """One guild with its `channels`, a thread in the first one, and a bot.

    `journal` is everything that the bot made it show.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.unknown: list[str] = []
        self.faults: list[Fault] = []
        self.messages: dict[str, Json] = {}
        self.journal: list[Written] = []
        self.channels = [CHANNEL_ID]
        self.identified: list[Json] = []
        self.resumed = 0
        self.application_flags = MESSAGE_CONTENT_FLAG
        self.denied = 0
        self.token: str | None = None
        self.close_code_at_identify: int | None = None
        self.accepts_resume = True
        self.repeats_at_resume = 0
        self.writes_per_window: int | None = None
        self.window_s = 5.0
        self.refused_429 = 0
        self.address = ""
        self._writes: dict[str, deque[float]] = defaultdict(deque)
        self._sockets: list[web.WebSocketResponse] = []
        self._events: list[Json] = []
        self._ids = 0

    # What a test does.

    def snowflake(self) -> str:
        """A new id, later than every other."""
        self._ids += 1
        return str((int(time.time() * 1000) - EPOCH_MS << 22) + self._ids)

    async def say(
        self, text: str, author: str = "ann", channel_id: str = CHANNEL_ID, *, is_heard: bool = True
    ) -> str:
        """A member writes into a channel; unheard, the gateway says nothing of it."""
        author_of = member(author)
        mentions = [bot_user()] if f"<@{BOT_ID}>" in text else []
        message = self._message(text, author_of, channel_id)
        message["mentions"] = mentions
        self.messages[message["id"]] = message
        if is_heard:
            await self.emit("MESSAGE_CREATE", message | {"guild_id": GUILD_ID, "member": profile()})
        return message["id"]

    async def edit(self, message_id: str, text: str) -> None:
        """A member changes a message."""
        self.messages[message_id]["content"] = text
        about = {"guild_id": GUILD_ID, "member": profile()}
        await self.emit("MESSAGE_UPDATE", self.messages[message_id] | about)

    async def delete(self, message_id: str) -> None:
        """A member deletes a message."""
        message = self.messages.pop(message_id)
        place = {"channel_id": message["channel_id"], "guild_id": GUILD_ID}
        await self.emit("MESSAGE_DELETE", {"id": message_id, **place})

    async def command(self, name: str, options: Mapping[str, str], author: str = "ann") -> str:
        """A member uses a slash command."""
        interaction_id = self.snowflake()
        given = [{"type": 3, "name": key, "value": value} for key, value in options.items()]
        name, _space, sub = name.partition(" ")
        if sub:
            given = [{"type": 1, "name": sub, "options": given}]
        await self.emit(
            "INTERACTION_CREATE",
            {
                "id": interaction_id,
                "application_id": BOT_ID,
                "type": 2,
                "token": f"token-{interaction_id}",
                "version": 1,
                "guild_id": GUILD_ID,
                "channel_id": CHANNEL_ID,
                "channel": {"id": CHANNEL_ID, "type": 0, "guild_id": GUILD_ID, "name": "general"},
                "member": profile() | {"user": member(author), "permissions": "0"},
                "data": {"id": "1", "name": name, "type": 1, "options": given},
                "entitlements": [],
                "context": 0,
                "authorizing_integration_owners": {},
                "locale": "en-US",
                "attachment_size_limit": 10_000_000,
            },
        )
        return interaction_id

    async def emit(self, kind: str, data: Json) -> None:
        """An event of the gateway; kept for a session that resumes."""
        self._events.append({"op": 0, "t": kind, "s": len(self._events) + 1, "d": data})
        for socket in self._sockets:
            if not socket.closed:
                with suppress(ConnectionError):  # it died a moment ago
                    await socket.send_json(self._events[-1])

    async def drop(self) -> None:
        """Break every connection of the gateway."""
        for socket in self._sockets:
            await socket.close(code=4000)
        self._sockets.clear()

    @property
    def has_bot(self) -> bool:
        """Whether the bot is connected."""
        return any(not socket.closed for socket in self._sockets)

    def answers(self, channel_id: str = CHANNEL_ID) -> list[str]:
        """What the bot shows in a channel, oldest first."""
        own = [
            one
            for one in self.messages.values()
            if one["author"]["id"] == BOT_ID and one["channel_id"] == channel_id
        ]
        return [one["content"] for one in sorted(own, key=lambda one: int(one["id"]))]

    def calls(self, method: str, path: str) -> list[Request]:
        """The calls of a method whose path matches."""
        return [one for one in self.requests if one.method == method and re.search(path, one.path)]

    # The REST interface.

    async def rest(self, request: web.Request) -> web.StreamResponse:
        """Every call: authorised, counted, and answered by its route or with a fault."""
        path = request.path.removeprefix("/api/v10")
        body = await _body(request)
        listed: Json = {"commands": body} if isinstance(body, list) else body
        self.requests.append(Request(request.method, path, listed, time.monotonic()))
        if self.token not in (None, request.headers.get("Authorization", "").removeprefix("Bot ")):
            return _json({"message": "401: Unauthorized", "code": 0}, 401)
        fault = self._fault(request.method, path)
        if fault is not None and not fault.is_after:
            return _faulty(fault, request)
        if (limited := self._limited(request.method, path)) is not None:
            return limited
        response = self._route(request.method, path, listed, request.query)
        return _faulty(fault, request) if fault is not None else response

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and re.search(fault.path, path):
                self.faults.remove(fault)
                return fault
        return None

    def _limited(self, method: str, path: str) -> web.Response | None:
        """A 429 where a channel is written to more often than is allowed."""
        match = re.fullmatch(r"/channels/(\d+)/messages(/\d+)?", path)
        if self.writes_per_window is None or match is None or method not in {"POST", "PATCH"}:
            return None
        now, writes = time.monotonic(), self._writes[match[1]]
        while writes and writes[0] <= now - self.window_s:
            writes.popleft()
        if len(writes) < self.writes_per_window:
            writes.append(now)
            return None
        self.refused_429 += 1
        wait_s = writes[0] + self.window_s - now
        return _json({"message": "slow", "retry_after": wait_s, "global": False}, 429)

    def _route(self, method: str, path: str, body: Json, query: Mapping[str, str]) -> web.Response:
        match method, path.strip("/").split("/"):
            case "GET", ["users", "@me"]:
                return _json(bot_user())
            case "GET", ["oauth2", "applications", "@me"]:
                return _json(application(self.application_flags))
            case "GET", ["gateway", "bot"]:
                limit = {"total": 9, "remaining": 9, "reset_after": 1, "max_concurrency": 1}
                return _json({"url": self.gateway, "shards": 1, "session_start_limit": limit})
            case "PUT", ["applications", _, "commands"]:
                return _json([])
            case "GET", ["guilds", _]:
                return _json(self._guild())
            case "GET", ["guilds", _, "members", _]:
                return _json(profile() | {"user": bot_user()})
            case "GET", ["guilds", _, "channels"]:
                return _json(self._guild()["channels"])
            case "GET", ["channels", channel_id]:
                return self._channel(channel_id)
            case "POST", ["channels", _, "typing"]:
                return web.Response(status=204)
            case "POST", ["channels", channel_id, "messages"]:
                return self._create(channel_id, body)
            case "GET", ["channels", channel_id, "messages"]:
                return _json(self._history(channel_id, query))
            case method, ["channels", _, "messages", message_id]:
                return self._one(method, message_id, body)
            case "POST", ["interactions", interaction_id, _, "callback"]:
                return self._callback(interaction_id, body)
            case method, ["webhooks", _, _, "messages", message_id]:
                return self._one(method, message_id, body)
            case "POST", ["webhooks", _, _]:
                return self._create(CHANNEL_ID, body)
            case _:
                self.unknown.append(f"{method} {path}")
                return _json({"message": "404: Not Found", "code": 0}, 404)

    def _guild(self) -> Json:
        latest: dict[str, str | None] = dict.fromkeys(self.channels)
        for message in self.messages.values():
            last = latest.get(message["channel_id"])
            if message["channel_id"] in latest and int(message["id"]) > int(last or 0):
                latest[message["channel_id"]] = message["id"]
        return guild(latest)

    def _note(self, change: Change, message: Json) -> None:
        """Write down what a write of the bot made a message show."""
        text = "" if change is Change.DELETED else str(message["content"])
        answers = message.get("message_reference", {}).get("message_id")
        self.journal.append(
            Written(
                time.monotonic(),
                change,
                str(message["id"]),
                str(message["channel_id"]),
                text,
                None if answers is None else str(answers),
                is_private=bool(message["flags"] & EPHEMERAL),
            )
        )

    def _channel(self, channel_id: str) -> web.Response:
        for channel in self._guild()["channels"]:
            if channel["id"] == channel_id:
                lacks = {"id": GUILD_ID, "type": 0, "allow": "0", "deny": str(self.denied)}
                overwrites = [lacks] if self.denied else []
                about = {"guild_id": GUILD_ID, "permission_overwrites": overwrites}
                return _json(channel | about)
        return _json({"message": "Unknown Channel", "code": 10003}, 404)

    def _create(self, channel_id: str, body: Json) -> web.Response:
        if (refusal := self._refusal(body)) is not None:
            return refusal
        for known in self.messages.values():
            if body.get("enforce_nonce") and known.get("nonce") == body["nonce"]:
                return _json(known)
        message = self._message(body["content"], bot_user(), channel_id)
        kept = ("nonce", "message_reference", "components")
        message |= {key: body[key] for key in kept if key in body}
        message["attachments"] = _attachments(body)
        message["flags"] = body.get("flags", 0)
        self.messages[message["id"]] = message
        self._note(Change.POSTED, message)
        return _json(message)

    def _one(self, method: str, message_id: str, body: Json) -> web.Response:
        message = self.messages.get(message_id)
        if message is None:
            return _json({"message": "Unknown Message", "code": 10008}, 404)
        match method:
            case "PATCH":
                if (refusal := self._refusal(body)) is not None:
                    return refusal
                message["flags"] &= EPHEMERAL
                message["content"] = body["content"]
                message["attachments"] = _attachments(body)
                message["components"] = body.get("components", message["components"])
                self._note(Change.EDITED, message)
            case "DELETE":
                del self.messages[message_id]
                self._note(Change.DELETED, message)
                return web.Response(status=204)
            case _:
                pass
        return _json(message)

    def _callback(self, interaction_id: str, body: Json) -> web.Response:
        message = self._message("", bot_user())
        message["flags"] = 128 | body.get("data", {}).get("flags", 0)
        self.messages[message["id"]] = message
        about = {
            "id": interaction_id,
            "type": 2,
            "response_message_id": message["id"],
            "response_message_loading": True,
            "response_message_ephemeral": bool(body.get("data", {}).get("flags")),
        }
        return _json({"interaction": about})

    def _refusal(self, body: Json) -> web.Response | None:
        if unknown := set(body) - MESSAGE_KEYS:
            self.unknown.append(f"parameters {sorted(unknown)}")
        text = body.get("content", "")
        if not text.strip() or len(text) > MAX_CONTENT:
            return _json({"message": "Invalid Form Body", "code": 50035}, 400)
        return None

    def _history(self, channel_id: str, query: Mapping[str, str]) -> list[Json]:
        after, before = int(query.get("after", 0)), int(query.get("before", 1 << 63))
        found = [
            one
            for one in self.messages.values()
            if one["channel_id"] == channel_id and after < int(one["id"]) < before
        ]
        found.sort(key=lambda one: int(one["id"]))
        limit = int(query.get("limit", 50))
        chosen = found[:limit] if "after" in query else found[-limit:]
        return chosen[::-1]

    def _message(self, text: str, author: Json, channel_id: str = CHANNEL_ID) -> Json:
        return {
            "id": self.snowflake(),
            "channel_id": channel_id,
            "author": author,
            "content": text,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "components": [],
            "pinned": False,
            "type": 0,
            "flags": 0,
        }

    # The gateway.

    @property
    def gateway(self) -> str:
        """Its address."""
        return f"{self.address.replace('http', 'ws', 1)}/gateway"

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, until either side closes it."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 41_250}, "s": None})
        try:
            async for received in socket:
                if received.type is WSMsgType.TEXT:
                    await self._receive(socket, json.loads(received.data))
        finally:
            self._sockets = [one for one in self._sockets if one is not socket]
        return socket

    async def _receive(self, socket: web.WebSocketResponse, received: Json) -> None:
        match received["op"]:
            case 1:
                await socket.send_json({"op": 11})
            case 2:
                await self._identify(socket, received["d"])
            case 6:
                await self._resume(socket, received["d"]["seq"])
            case 3 | 4 | 8:
                pass
            case unknown:
                self.unknown.append(f"gateway op {unknown}")

    async def _identify(self, socket: web.WebSocketResponse, data: Json) -> None:
        self.identified.append(data)
        if self.close_code_at_identify is not None:
            await socket.close(code=self.close_code_at_identify)
            return
        self._sockets = [socket]
        self._events.clear()
        ready = {
            "v": 10,
            "user": bot_user(),
            "guilds": [{"id": GUILD_ID, "unavailable": True}],
            "session_id": f"session-{len(self.identified)}",
            "resume_gateway_url": self.gateway,
            "application": {"id": BOT_ID, "flags": self.application_flags},
            "shard": data.get("shard", [0, 1]),
        }
        await self.emit("READY", ready)
        await self.emit("GUILD_CREATE", self._guild())

    async def _resume(self, socket: web.WebSocketResponse, sequence: int) -> None:
        if not self.accepts_resume:
            await socket.send_json({"op": 9, "d": False})
            return
        self.resumed += 1
        self._sockets = [socket]
        for event in self._events[max(sequence - self.repeats_at_resume, 0) :]:
            await socket.send_json(event)
        await self.emit("RESUMED", {})


async def _body(request: web.Request) -> Json:
    """The JSON of a call; with files it is a part of its own."""
    if request.content_type == "multipart/form-data":
        return json.loads(str((await request.post())["payload_json"]))
    raw = await request.read()
    return json.loads(raw) if raw else {}


def _attachments(body: Json) -> list[Json]:
    """The files of a message as Discord tells of them."""
    return [
        {"size": 1, "url": "https://cdn.example.org/file", "proxy_url": "", **one}
        for one in body.get("attachments", ())
    ]


def _faulty(fault: Fault, request: web.Request) -> web.Response:
    if fault.status == 0:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    body = {"message": "a fault", "code": 0} if fault.body is None else fault.body
    return _json(body, fault.status)


def _json(data: object, status: int = 200) -> web.Response:
    """JSON without a charset, as discord.py's interactions want it, with a 429's headers."""
    headers = {"Content-Type": "application/json", "Via": "1.1 loopback"}
    if status == 429:
        headers["Retry-After"] = "1"
    return web.Response(body=json.dumps(data).encode(), status=status, headers=headers)


@asynccontextmanager
async def running(server: DiscordServer | None = None) -> AsyncGenerator[DiscordServer, None]:
    """A server on a free port; whatever it did not know fails the test."""
    server = server or DiscordServer()
    routes = web.Application()
    routes.router.add_get("/gateway", server.connect)
    routes.router.add_get("/gateway/", server.connect)
    routes.router.add_route("*", "/api/v10/{rest:.*}", server.rest)
    async with TestServer(routes) as loopback:
        server.address = str(loopback.make_url("")).rstrip("/")
        yield server
        await server.drop()
        await asyncio.sleep(0)
    assert server.unknown == []
