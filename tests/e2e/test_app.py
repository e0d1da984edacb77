"""The composition root: whole processes' worth of parts, with the embedded model answering."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel
from typing_extensions import override

from bot import app
from bot.account_lock import account_lock
from bot.adapter import Adapter, Services, WorkingIndicator
from bot.errors import PlatformError, UserFacingError
from bot.messages import ReplyTarget, ReplyView
from bot.settings_root import Loaded, load_settings
from config.errors import ConfigurationError
from tests.isolation import logging_as_before, workplace
from tests.scripted import ACCOUNT, Indicator, Platform, ScriptedAdapter, question

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


def test_a_platform_is_served_until_a_signal_and_its_answers_end(loaded: Loaded) -> None:
    assert app.serve(loaded) == 0
    (message,) = ScriptedPlatform.platform.messages("q1")
    assert message.is_last
    assert message.text
    assert message.footer is not None
    assert "starter model" in message.footer


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


def test_chat_waits_with_a_progress_bar_and_uses_what_was_given(loaded: Loaded) -> None:
    class Watching(Interrupting):
        indicators: ClassVar[list[Indicator]] = []

        @override
        def working(self, target: ReplyTarget) -> AbstractAsyncContextManager[WorkingIndicator]:
            return self._watched()

        @asynccontextmanager
        async def _watched(self) -> AsyncGenerator[WorkingIndicator]:
            indicator = Indicator()
            self.indicators.append(indicator)
            yield indicator

    ScriptedPlatform.adapter = Watching
    assert app.chat(loaded, model="fireside", persona="Be brief.", raw=True) == 0
    fractions = [progress.fraction for progress in Watching.indicators[0].told]
    assert fractions[-1:] == [1.0]


def test_models_are_compared_and_one_that_is_absent_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_settings(data_dir=tmp_path)
    assert app.compare(loaded, "hello", ["fireside", "blenderbot"]) == 0
    out = capsys.readouterr()
    assert out.out.startswith("fireside: ")
    assert "fireside models pull blenderbot" in out.err
    assert app.compare(loaded, "hello", ["blenderbot"]) == 1
