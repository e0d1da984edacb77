"""The scripted adapter of the core's own tests keeps the contract that it stands in for."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.messages import CommandInvoked, IncomingMessage
from tests.contract.adapter_contract import AdapterContract
from tests.contract.recording_services import RecordingServices
from tests.doubles.scripted import Platform, ScriptedAdapter, command, question


class ScriptedPlatform:
    """A scripted adapter to which events are given one by one."""

    def __init__(self, path: Path) -> None:
        self.services = RecordingServices()
        self._platform = Platform(path, max_chars=4000)
        self.adapter = ScriptedAdapter(self._platform, self.services)
        self._said = 0

    async def say(self, text: str) -> IncomingMessage:
        self._said += 1
        event = question(text, f"q{self._said}")
        await self.services.submit(event)
        return event

    async def command(self, name: str, arguments: Mapping[str, str]) -> CommandInvoked:
        event = command(name, dict(arguments))
        await self.services.submit(event)
        return event

    def shown(self) -> str:
        return "\n".join(message.text for message in self._platform.messages())

    async def files(self) -> Mapping[str, str]:
        return {}


class TestScriptedAdapter(AdapterContract):
    @pytest.fixture
    def platform(self, tmp_path: Path) -> ScriptedPlatform:
        return ScriptedPlatform(tmp_path / "platform.jsonl")
