"""The wire to one OpenAI-compatible server: requests, streamed chunks, and what goes wrong.

It knows HTTP and JSON, no prompt and no retry. httpx2 is used as it is, with its reader of
server-sent events: the official client adds half a second of imports and takes keys, addresses and
organisations from the environment on its own.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx2

from bot.clock import utc_now
from bot.engine.remote.chunk import Chunk, read_chunk
from bot.engine.remote.faults import Fault, ServerFault, fault_of
from config.addresses import is_loopback

METADATA_TIMEOUT_S = 10.0
"""For questions about the server itself: they need no computing."""

MAX_EVENT_BYTES = 1 << 20
MAX_ERROR_BYTES = 1 << 16


class ChatServer:
    """A client of the server at `url` (it ends before "/chat/completions")."""

    def __init__(
        self, url: str, api_key: str | None, *, connect_timeout_s: float, read_timeout_s: float
    ) -> None:
        self.url = url
        headers = {"User-Agent": "fireside"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(read_timeout_s, connect=connect_timeout_s),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=16),
            # No proxy of the environment leads to this very machine.
            trust_env=not is_loopback(url),
        )
        self._quick = httpx2.Timeout(
            min(read_timeout_s, METADATA_TIMEOUT_S), connect=connect_timeout_s
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def ask(
        self, path: str, body: Mapping[str, object] | None = None, *, from_root: bool = False
    ) -> Mapping[str, Any]:
        """A JSON object: GET `path`, or POST where there is a body. Raises `ServerFault`.

        `path` follows the address, or the server's root ("/v1" taken away) with `from_root`.
        """
        url = (self.url.removesuffix("/v1") if from_root else self.url) + path
        method = "GET" if body is None else "POST"
        with _told():
            request = self._client.build_request(method, url, json=body, timeout=self._quick)
            response = await self._client.send(request)
            if not response.is_success:
                raise _refusal(response, response.text[:MAX_ERROR_BYTES])
            return _object(response.text)

    @asynccontextmanager
    async def chat(self, body: Mapping[str, object]) -> AsyncGenerator[AsyncIterator[Chunk]]:
        """Stream an answer; leaving the block closes the connection, so that the server stops.

        Raises `ServerFault`, also while the chunks are read.
        """
        with _told():
            async with self._client.sse(
                f"{self.url}/chat/completions",
                method="POST",
                json=body,
                max_event_size=MAX_EVENT_BYTES,
            ) as source:
                if not source.response.is_success:
                    raise _refusal(source.response, await _beginning(source.response))
                async with aclosing(_chunks(source)) as chunks:
                    yield chunks


async def _chunks(source: httpx2.EventSource) -> AsyncGenerator[Chunk]:
    with _told():
        async for event in source:
            # After the end the rest is read, so that the connection can be used again.
            yield read_chunk(event.data)


def _object(text: str) -> Mapping[str, Any]:
    try:
        parsed: object = json.loads(text)
    except ValueError as error:
        raise ServerFault(Fault.BROKEN, "what is not JSON") from error
    if not isinstance(parsed, dict):
        raise ServerFault(Fault.BROKEN, "JSON that is no object")
    return cast("dict[str, Any]", parsed)


async def _beginning(response: httpx2.Response) -> str:
    """The first bytes of an error's body: no more is read, however much comes."""
    text = ""
    async for piece in response.aiter_text():
        text += piece
        if len(text) > MAX_ERROR_BYTES:
            break
    return text


def _refusal(response: httpx2.Response, complaint: str) -> ServerFault:
    status = response.status_code
    rest_s = _retry_after_s(response.headers.get("retry-after"))
    return ServerFault(
        fault_of(status, complaint), f"status {status}", status=status, rest_s=rest_s,
        complaint=complaint,
    )  # fmt: skip


def _retry_after_s(value: str | None) -> float | None:
    """Seconds, or a date (RFC 9110, "Retry-After")."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - utc_now()).total_seconds())
    except (TypeError, ValueError):
        return None


@contextmanager
def _told() -> Generator[None]:
    """Every failure of httpx2, as ours; its messages stay out of texts and logs."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
        raise ServerFault(Fault.UNREACHABLE, type(error).__name__) from error
    except httpx2.TimeoutException as error:
        raise ServerFault(Fault.SILENT, type(error).__name__) from error
    except httpx2.ProxyError as error:
        raise ServerFault(Fault.UNREACHABLE, type(error).__name__) from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise ServerFault(Fault.BROKEN, type(error).__name__) from error
