"""HTTP mode: what Slack calls, served by uvicorn, and a route that says whether all is well.

Bolt verifies each request's signature and its age (five minutes at most).
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from typing_extensions import override

from adapters.slack.settings import Settings
from config.errors import ConfigurationError

EVENTS_PATH = "/slack/events"
HEALTH_PATH = "/health"
MAX_BODY_BYTES = 1 << 20
SHUTDOWN_S = 3
PORT_KEY = "FIRESIDE_SLACK__HTTP_PORT"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger(__name__)


class Endpoint:
    """The ASGI application: Slack's requests of a bounded size, and the health route."""

    def __init__(self, app: AsyncApp) -> None:
        self._slack: Any = AsyncSlackRequestHandler(app, path=EVENTS_PATH)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "uvicorn is told to serve nothing else"
        if scope["path"] == HEALTH_PATH:
            await _answer(send, 200, b'{"status":"ok"}')
            return
        body = await _body(receive)
        if body is None:
            await _answer(send, 413, b'{"error":"too large"}')
            return

        async def received() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._slack(scope, received, send)


class HttpServer:
    """Listens from its construction on. Raises `ConfigurationError` where it cannot."""

    def __init__(self, settings: Settings) -> None:
        family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
        address = (settings.http_host, settings.http_port)
        try:
            self._socket = socket.create_server(address, family=family)
        except OSError as error:
            problem = f"{settings.http_host}:{settings.http_port} cannot be listened on"
            raise ConfigurationError(PORT_KEY, problem, f"{PORT_KEY}=3001") from error
        self.port: int = self._socket.getsockname()[1]

    async def serve(self, app: AsyncApp) -> None:
        """Serve until cancelled; requests under way come to their end."""
        config = uvicorn.Config(
            Endpoint(app),
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        server = _Server(config)
        serving = asyncio.ensure_future(server.serve([self._socket]))
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """Leaves signals to the program."""

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is larger than anything that Slack sends.

    What is too much is read and dropped, so that the caller gets to read the answer.
    """
    body = bytearray()
    is_too_large = False
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            is_too_large = True
            body.clear()
        if not message.get("more_body"):
            return None if is_too_large else bytes(body)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
