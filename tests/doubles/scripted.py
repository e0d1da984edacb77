"""A scripted platform, adapter and engine: whole conversations with no SDK and no torch.

The platform is a file, so that it outlives a killed process as a real one does. `Fuse` ends the
process at its n-th store or platform call, before or after the effect.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from typing_extensions import override

from bot.adapter import Adapter, Capabilities, Progress, Services, WorkingIndicator
from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    ResidentModel,
    TextDelta,
    Usage,
)
from bot.errors import PlatformError
from bot.messages import (
    Addressed,
    Author,
    Buttons,
    CommandInvoked,
    ConversationRef,
    Inbound,
    IncomingMessage,
    MessageReader,
    PastMessage,
    ReplyTarget,
    ReplyView,
)
from bot.store.ports.store import Store

ACCOUNT = "scripted:bot"
START = datetime(2026, 1, 1, tzinfo=UTC)
ANN = Author("ann", "Ann")
BEN = Author("ben", "Ben")
CHANNEL = ConversationRef("scripted", "home", "general")
DIRECT = ConversationRef("scripted", "dm", "ann", is_direct=True)

T = TypeVar("T")


class Fuse:
    """Ends the process (as `kill -9` does) at its n-th call, before or after the effect."""

    def __init__(self, at: int | None = None, *, is_after: bool = False) -> None:
        self._at = at
        self._is_after = is_after
        self._calls = 0

    async def around(self, effect: Callable[[], Awaitable[T]]) -> T:
        """Run one call of the store or the platform."""
        self._calls += 1
        is_the_one = self._calls == self._at
        if is_the_one and not self._is_after:
            os._exit(9)
        result = await effect()
        if is_the_one:
            os._exit(9)
        return result


class FusedPort:
    """A port of the store whose every call passes the fuse."""

    def __init__(self, port: object, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        method = getattr(self._port, name)
        return lambda *given, **named: self._fuse.around(lambda: method(*given, **named))


class FusedStore:
    """A store whose every port passes the fuse."""

    def __init__(self, store: Store, fuse: Fuse) -> None:
        self.inbox = FusedPort(store.inbox, fuse)
        self.recovery = FusedPort(store.recovery, fuse)
        self.history = FusedPort(store.history, fuse)
        self.replies = FusedPort(store.replies, fuse)
        self.exchanges = FusedPort(store.exchanges, fuse)
        self.erasure = FusedPort(store.erasure, fuse)
        self.usages = FusedPort(store.usages, fuse)
        self.ratings = FusedPort(store.ratings, fuse)
        self.comparisons = FusedPort(store.comparisons, fuse)
        self.settings = FusedPort(store.settings, fuse)


def fused(store: Store, fuse: Fuse) -> Store:
    """The store, behind the fuse."""
    return cast(Store, FusedStore(store, fuse))


@dataclass(slots=True)
class Posted:
    """A message as the platform shows it."""

    id: str
    key: str
    target: str
    text: str
    index: int
    is_complete: bool
    is_last: bool
    is_error: bool
    is_private: bool
    footer: str | None
    actions: list[str]
    document: str | None
    picture: str | None = None
    edits: int = 0


class Platform:
    """A chat platform in a file of JSON lines: what was posted, edited, deleted, acknowledged.

    It is strict where a real one is: over-long texts and unknown messages raise.
    """

    def __init__(self, path: Path, max_chars: int = 2000) -> None:
        self._path = path
        self.max_chars = max_chars
        self._known: list[dict[str, Any]] = []
        self._known_bytes = 0

    def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        """Show a new message; the same key twice shows it twice, as the worst platform does."""
        message_id = f"m{len(self._events())}"
        self._append("post", message_id, key=key, target=target.handle, view=view)
        return message_id

    def edit(self, message_id: str, view: ReplyView | None) -> None:
        """Change or delete a message."""
        if message_id not in {message.id for message in self.messages()}:
            raise PlatformError("there is no such message")
        self._append("delete" if view is None else "edit", message_id, view=view)

    def find(self, key: str) -> str | None:
        """The message posted with a key."""
        return next((posted.id for posted in self.messages() if posted.key == key), None)

    def clear(self) -> None:
        """Forget what was shown so far."""
        self._path.unlink(missing_ok=True)
        self._known, self._known_bytes = [], 0

    def acknowledge(self, event_id: str) -> None:
        """Note that the bot has taken an event."""
        self._append("acknowledge", event_id)

    def acknowledged(self) -> list[str]:
        """The events that the bot has taken."""
        return [event["id"] for event in self._events() if event["kind"] == "acknowledge"]

    def messages(self, target: str | None = None) -> list[Posted]:
        """What is shown now, in order, under one question or everywhere."""
        shown: dict[str, Posted] = {}
        for event in self._events():
            match event["kind"]:
                case "post":
                    shown[event["id"]] = Posted(
                        event["id"], event["key"], event["target"], **event["view"]
                    )
                case "edit":
                    old = shown[event["id"]]
                    edits = old.edits + 1
                    shown[event["id"]] = Posted(
                        old.id, old.key, old.target, **event["view"], edits=edits
                    )
                case "delete":
                    del shown[event["id"]]
                case _:
                    pass
        return [one for one in shown.values() if target is None or one.target == target]

    def answer(self, target: str) -> str:
        """The whole text under a question."""
        return " ".join(message.text for message in self.messages(target))

    def _append(self, kind: str, identifier: str, **more: object) -> None:
        view = more.pop("view", None)
        event = {"kind": kind, "id": identifier, **more}
        if isinstance(view, ReplyView):
            if len(view.text) > self.max_chars:
                raise PlatformError("the text is too long")
            event["view"] = {
                "text": view.text,
                "index": view.index,
                "is_complete": view.is_complete,
                "is_last": view.is_last,
                "is_error": view.is_error,
                "is_private": view.is_private,
                "footer": view.footer,
                "actions": view.actions,
                "document": view.document,
                "picture": view.picture and view.picture.description,
            }
        with self._path.open("a") as file:
            file.write(json.dumps(event) + "\n")

    def _events(self) -> list[dict[str, Any]]:
        """All events; tests look very often, so only what was added since is read."""
        if self._path.exists() and self._path.stat().st_size != self._known_bytes:
            with self._path.open("rb") as file:
                file.seek(self._known_bytes)
                added = file.read()
            self._known += [json.loads(line) for line in added.splitlines()]
            self._known_bytes += len(added)
        return self._known


class ScriptedReader(MessageReader):
    """What was said in the channel, or a platform that does not let it be read."""

    def __init__(self) -> None:
        self.said: list[PastMessage] = []
        self.failure: PlatformError | None = None

    @override
    async def recent(
        self,
        conversation: ConversationRef,
        limit: int,
        since: datetime | None = None,
        since_id: str | None = None,
    ) -> Sequence[PastMessage]:
        if self.failure is not None:
            raise self.failure
        ids = [one.id for one in self.said]
        begin = ids.index(since_id) if since_id in ids else len(ids)
        found = self.said if since_id is None else self.said[begin:]
        return [one for one in found if since is None or one.sent_at >= since][-limit:]


@dataclass
class Indicator(WorkingIndicator):
    """Remembers what it was told."""

    told: list[Progress] = field(default_factory=list[Progress])

    @override
    async def update(self, progress: Progress) -> None:
        self.told.append(progress)


class ScriptedAdapter(Adapter):
    """Delivers a script of events, again those not acknowledged, and shows replies in a file."""

    def __init__(
        self,
        platform: Platform,
        services: Services | None = None,
        script: Sequence[Inbound] = (),
        fuse: Fuse | None = None,
        *,
        is_append_only: bool = False,
        tells_progress: bool = True,
        max_parts: int | None = None,
        account: str = ACCOUNT,
    ) -> None:
        self.platform = platform
        self.indicator = Indicator()
        self.reader = ScriptedReader()
        self.failures: list[Exception] = []
        self._services = services
        self._script = script
        self._fuse = fuse or Fuse()
        self._account = account
        self._capabilities = Capabilities(
            "scripted",
            platform.max_chars,
            0.0,
            is_append_only=is_append_only,
            buttons=Buttons.FULL,
            has_pictures=True,
            tells_progress=tells_progress,
            max_parts=max_parts,
            reader=self.reader,
            target_in=ReplyTarget,
        )

    @property
    @override
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    @override
    def account(self) -> str:
        return self._account

    @override
    async def run(self) -> None:
        assert self._services is not None
        for event in self._script:
            await self._services.submit(event)
            if isinstance(event, IncomingMessage | CommandInvoked):
                identifier = event.id
                await self._fuse.around(partial(self._acknowledge, identifier))
        await asyncio.Event().wait()

    async def _acknowledge(self, event_id: str) -> None:
        self.platform.acknowledge(event_id)

    @override
    async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        async def effect() -> str:
            return self.platform.post(target, view, key)

        self._fail()
        return await self._fuse.around(effect)

    @override
    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        async def effect() -> None:
            self.platform.edit(message_id, view)

        self._fail()
        await self._fuse.around(effect)

    @override
    async def find_reply(self, target: ReplyTarget, key: str) -> str | None:
        return self.platform.find(key)

    @override
    def working(self, target: ReplyTarget) -> AbstractAsyncContextManager[WorkingIndicator]:
        return self._working()

    @asynccontextmanager
    async def _working(self) -> AsyncGenerator[WorkingIndicator]:
        yield self.indicator

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def echo(request: GenerationRequest) -> str:
    """An answer that tells its question."""
    return f"You said: {request.turns[-1].text}"


class ScriptedEngine(Engine):
    """Says what `say` makes of a request, word by word; `gate` holds it before the first word."""

    def __init__(self, say: Callable[[GenerationRequest], str] | None = None) -> None:
        self.requests: list[GenerationRequest] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.left_early = 0
        self.forgotten: list[str] = []
        self._say = say or echo

    @override
    async def start(self) -> None: ...

    @override
    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None: ...

    @override
    async def unload(self, model: str) -> None: ...

    @override
    async def forget(self, cache_key: str) -> None:
        self.forgotten.append(cache_key)

    @override
    def resident(self) -> Sequence[ResidentModel]:
        return ()

    @override
    async def close(self) -> None: ...

    @override
    def stream(
        self, request: GenerationRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        self.requests.append(request)
        return self._stream(request)

    @asynccontextmanager
    async def _stream(
        self, request: GenerationRequest
    ) -> AsyncGenerator[AsyncIterator[EngineEvent]]:
        events = self._events(request)
        try:
            yield events
        except BaseException:
            self.left_early += 1
            raise
        finally:
            await events.aclose()

    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        await self.gate.wait()
        words = self._say(request).split(" ")
        for index, word in enumerate(words):
            await asyncio.sleep(0)
            yield TextDelta(word if index == 0 else f" {word}")
        yield Finished(FinishReason.STOP, Usage(generated_tokens=len(words)))


def question(
    text: str,
    identifier: str = "q1",
    author: Author = ANN,
    conversation: ConversationRef = CHANNEL,
    sent_at: datetime = START,
) -> IncomingMessage:
    """A question to the bot; its answer goes to a target of the same name."""
    return IncomingMessage(
        identifier,
        conversation,
        author,
        text,
        Addressed.DIRECT if conversation.is_direct else Addressed.MENTION,
        sent_at,
        ReplyTarget(identifier),
    )


def command(
    name: str,
    arguments: dict[str, str] | None = None,
    identifier: str = "c1",
    author: Author = ANN,
    conversation: ConversationRef = CHANNEL,
) -> CommandInvoked:
    """A command given to the bot."""
    return CommandInvoked(
        identifier, conversation, author, name, arguments or {}, START, ReplyTarget(identifier)
    )
