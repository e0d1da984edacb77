"""A loopback model server: OpenAI's chat protocol as vLLM and others speak it, and its faults.

It says back what it was asked, word by word. What is put into `plan` happens to the next chat
requests, one each. A request that it does not know fails the test at its end.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.doubles.dialects import VLLM, WINDOW, Dialect, Page

MODEL = VLLM.model
KEY = "sk-loopback-secret"

ASKED_IN_VAIN = frozenset({"/api/show", "/api/ps", "/tokenize", "/props"})
"""What some servers have and this one may not."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error instead of an answer; `kind` is its type, as llama.cpp and Ollama name them."""

    status: int
    message: str = ""
    kind: str = "api_error"
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Stream:
    """How an answer comes: `events` before it, its `words`, and how it ends.

    `cut_after` breaks the connection after so many words; with `ends_early` the stream ends
    properly there, and no finish reason came. `is_held` waits for `gate` before the first byte.
    """

    words: tuple[str, ...] | None = None
    events: tuple[str, ...] = ()
    field: str = "content"
    thinks: tuple[str, ...] = ()
    """Reasoning before the words, in the dialect's field."""
    finish_reason: str = "stop"
    cut_after: int | None = None
    ends_early: bool = False
    is_held: bool = False
    is_endless: bool = False
    has_usage: bool = True
    trailer: str | None = None


class ModelServer:
    """The server's state: what is planned, what was asked, and what it is like."""

    def __init__(self, dialect: Dialect = VLLM) -> None:
        self.dialect = dialect
        self.url = ""
        self.plan: deque[Refusal | Stream] = deque()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.checks = 0
        self.stopped = asyncio.Queue[int]()
        """An item for each answer that was left before its end: the words sent by then."""
        self.gate = asyncio.Event()
        self.models: list[dict[str, Any]] = [dict(dialect.listed)]
        self.refuses: frozenset[str] = frozenset()
        """Parameters that it does not know."""
        self.pages: dict[str, Page] = dict(dialect.pages)
        self.loading: Refusal | None = None
        """What it says to everything while it loads the model."""
        self.refuses_pages: Refusal | None = None
        """What it says to whoever asks for more than the list and answers."""
        self.needs_key = False
        self.complaints: list[str] = []

    @property
    def last(self) -> dict[str, Any]:
        """The last request for an answer."""
        return self.requests[-1]

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncGenerator["ModelServer"]:
        """Serve on loopback; at the end what was asked wrongly is raised."""
        app = web.Application()
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_route("*", "/{path:.*}", self._page)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()
        assert not self.complaints, self.complaints

    async def _list(self, request: web.Request) -> web.Response:
        self.checks += 1
        self.headers.append(dict(request.headers))
        if self._is_stranger(request):
            return _error(Refusal(401, "no such key"))
        if self.loading is not None:
            return _error(self.loading)
        return web.json_response({"object": "list", "data": self.models})

    async def _page(self, request: web.Request) -> web.Response:
        refusal = self.loading or self.refuses_pages
        if refusal is not None:
            return _error(refusal)
        page = self.pages.get(request.path)
        if page is None:
            if request.path not in ASKED_IN_VAIN:
                self.complaints.append(f"{request.method} {request.path}")
            return _error(Refusal(404, "Not Found"))
        return web.json_response(page(await request.json() if request.can_read_body else {}))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        refusal = self._refusal(request, body)
        if refusal is not None:
            return _error(refusal)
        planned = self.plan.popleft() if self.plan else Stream()
        if isinstance(planned, Refusal):
            return _error(planned)
        return await self._stream(request, body, planned)

    def _refusal(self, request: web.Request, body: dict[str, Any]) -> Refusal | None:
        unknown = sorted(set(body) - self.dialect.known)
        if unknown:
            self.complaints.append(f"unknown parameters: {unknown}")
        if self._is_stranger(request):
            return Refusal(401, "no such key")
        if self.loading is not None:
            return self.loading
        if not self.dialect.serves_any_name and not self._serves(body["model"]):
            return Refusal(404, f"The model `{body['model']}` does not exist.", "not_found_error")
        refused = sorted(set(body) & self.refuses)
        if refused:
            return Refusal(400, f"Unrecognized request argument supplied: {', '.join(refused)}")
        prompt = sum(len(message["content"].split()) for message in body["messages"])
        if prompt > WINDOW and self.dialect.too_long is not None:
            return Refusal(400, self.dialect.too_long, "exceed_context_size_error")
        return None

    def _serves(self, name: str) -> bool:
        return any(model["id"] in (name, f"{name}:latest") for model in self.models)

    def _is_stranger(self, request: web.Request) -> bool:
        return self.needs_key and request.headers.get("Authorization") != f"Bearer {KEY}"

    async def _stream(
        self, request: web.Request, body: dict[str, Any], planned: Stream
    ) -> web.StreamResponse:
        sent = 0
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            if planned.is_held:
                await self.gate.wait()
            await response.prepare(request)
            for event in planned.events:
                await response.write(f"{event}\n\n".encode())
            if self.dialect.opening is not None:
                await response.write(_event({"delta": self.dialect.opening}))
            for thought in planned.thinks:
                await response.write(self._delta(self.dialect.reasoning, thought))
            for word in _words(body, planned):
                if sent == planned.cut_after:
                    break
                await response.write(self._delta(planned.field, word))
                await asyncio.sleep(0)
                sent += 1
            if planned.cut_after is not None:
                if not planned.ends_early:
                    assert request.transport is not None
                    request.transport.abort()
                return response
            await self._finish(response, body, planned, sent)
        except (asyncio.CancelledError, ConnectionError):
            self.stopped.put_nowait(sent)
            raise
        return response

    def _delta(self, field: str, text: str) -> bytes:
        return _event({"delta": {**self.dialect.beside, field: text}, "finish_reason": None})

    async def _finish(
        self, response: web.StreamResponse, body: dict[str, Any], planned: Stream, sent: int
    ) -> None:
        is_cut = planned.words is None and sent == _limit(body) and not planned.is_endless
        reason = "length" if is_cut else planned.finish_reason
        last = {"delta": dict(self.dialect.beside), "finish_reason": reason}
        await response.write(_event(last))
        if planned.has_usage and body.get("stream_options", {}).get("include_usage"):
            usage: dict[str, Any] = {
                "prompt_tokens": sum(len(m["content"].split()) for m in body["messages"]),
                "completion_tokens": sent,
            }
            if self.dialect.counts_cached:
                usage["prompt_tokens_details"] = {"cached_tokens": 2}
            await response.write(_data({"choices": [], "usage": usage, **self.dialect.last}))
        await response.write((planned.trailer or "data: [DONE]\n\n").encode())


def _words(body: dict[str, Any], planned: Stream) -> Any:
    if planned.is_endless:
        return _forever()
    if planned.words is not None:
        return planned.words
    said = f"You said: {body['messages'][-1]['content']} " + " ".join(
        f"and {number} more" for number in range(30)
    )
    return [f"{word} " for word in said.split()][: _limit(body)]


def _forever() -> Any:
    while True:
        yield "more "


def _limit(body: dict[str, Any]) -> int:
    return int(body.get("max_tokens") or body["max_completion_tokens"])


def _event(choice: dict[str, Any]) -> bytes:
    return _data({"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]})


def _data(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _error(refusal: Refusal) -> web.Response:
    return web.json_response(
        {"error": {"message": refusal.message, "type": refusal.kind, "code": refusal.status}},
        status=refusal.status,
        headers=refusal.headers,
    )
