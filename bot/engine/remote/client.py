"""The wire to one OpenAI-compatible server: requests, streamed chunks, and what goes wrong.

It knows HTTP and JSON, no prompt and no retry. httpx2 is used as it is, with its reader of
server-sent events: the official client adds half a second of imports and takes keys, addresses and
organisations from the environment on its own.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any, cast

import httpx2
from pydantic import BaseModel, ValidationError

from bot.clock import utc_now
from bot.errors import Signal
from config.addresses import is_loopback

METADATA_TIMEOUT_S = 10.0
"""For questions about the server itself: they need no computing."""

MAX_EVENT_BYTES = 1 << 20
MAX_ERROR_BYTES = 1 << 16


class Fault(Enum):
    """What went wrong with a server, by what can be done about it."""

    UNREACHABLE = auto()
    SILENT = auto()
    BROKEN = auto()
    """The connection broke, or what came is no answer."""
    BUSY = auto()
    LOADING = auto()
    """Busy with loading the model."""
    FAILED = auto()
    """An error of its own: 5xx, or one told within the stream."""
    KEY_REFUSED = auto()
    NO_MODEL = auto()
    REQUEST_REFUSED = auto()


class ServerFault(Signal):
    """A request failed. Its text holds no word of the request or of the server.

    `status` is that of the response, where there was one; `rest_s` is how long the server asks to
    be left alone; `complaint` is what it said of the request, to be searched and never shown: it
    may quote people.
    """

    def __init__(
        self,
        fault: Fault,
        detail: str,
        *,
        status: int | None = None,
        rest_s: float | None = None,
        complaint: str = "",
    ) -> None:
        super().__init__(detail)
        self.fault = fault
        self.status = status
        self.rest_s = rest_s
        self.complaint = complaint


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What the server counted; `cached` is a part of `prompt`."""

    prompt: int
    generated: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a streamed answer."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    counts: TokenCounts | None = None


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
            if not event.data.startswith("[DONE]"):
                yield _chunk(event.data)


class _Delta(BaseModel):
    """Reasoning stands in a field of its own, which has two names."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _PromptDetails | None = None


class _Event(BaseModel):
    """`chat.completion.chunk`, or an error in its place."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


def _chunk(data: str) -> Chunk:
    try:
        event = _Event.model_validate_json(data)
    except ValidationError as error:
        raise ServerFault(Fault.BROKEN, "an event that is no chunk of an answer") from error
    if event.error:
        raise ServerFault(Fault.FAILED, "an error within the stream")
    choice = event.choices[0] if event.choices else _Choice()
    delta = choice.delta or _Delta()
    return Chunk(
        text=delta.content or "",
        reasoning=delta.reasoning_content or delta.reasoning or "",
        finish_reason=choice.finish_reason or None,
        counts=_counts(event.usage),
    )


def _counts(usage: _Usage | None) -> TokenCounts | None:
    if usage is None:
        return None
    details = usage.prompt_tokens_details or _PromptDetails()
    return TokenCounts(usage.prompt_tokens, usage.completion_tokens, details.cached_tokens or 0)


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


LOADING = re.compile(r"loading.{0,10}model|model.{0,10}loading", re.IGNORECASE)
"""What llama.cpp and others say until the model is loaded."""

STATUS_FAULTS = {
    401: Fault.KEY_REFUSED,
    403: Fault.KEY_REFUSED,
    404: Fault.NO_MODEL,
    408: Fault.SILENT,
    429: Fault.BUSY,
    503: Fault.BUSY,
}


def _refusal(response: httpx2.Response, complaint: str) -> ServerFault:
    status = response.status_code
    other = Fault.FAILED if status >= 500 or status < 400 else Fault.REQUEST_REFUSED
    fault = STATUS_FAULTS.get(status, other)
    if fault is Fault.BUSY and LOADING.search(complaint):
        fault = Fault.LOADING
    rest_s = _retry_after_s(response.headers.get("retry-after"))
    detail = f"status {status}"
    return ServerFault(fault, detail, status=status, rest_s=rest_s, complaint=complaint)


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
