"""Every command, seen once on every platform."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bot.commands.build import described_registry
from bot.installed_adapters import adapter_modules
from tests.discord_server import EPHEMERAL
from tests.scenes import stages
from tests.scenes.script import scenes
from tests.scenes.walk import Scene, walk

Opened = Callable[[Path], AbstractAsyncContextManager[stages.Stage]]

STAGES: dict[str, Opened] = {
    "console": stages.terminal,
    "discord": stages.discord,
    "slack": stages.slack,
}
WRONG = ("Traceback", "went wrong")


def test_every_command_has_a_scene_on_every_platform() -> None:
    assert {step.name for step in scenes()} == {one.name for one in described_registry()}
    assert set(STAGES) == {platform for platform, _module in adapter_modules()}


@pytest.mark.parametrize("platform", STAGES)
async def test_every_command_is_answered_where_it_was_given(tmp_path: Path, platform: str) -> None:
    seen: list[str] = []
    async with STAGES[platform](tmp_path) as stage:
        async for scene in walk(stage):
            _check_the_answer(scene, stage)
            _check_what_is_shown(scene)
            seen.append(scene.step.name)
    assert seen == [step.name for step in scenes()]


def _check_the_answer(scene: Scene, stage: stages.Stage) -> None:
    for answer in scene.answers:
        assert not answer.is_error, f"{scene.step.typed}: {answer.text}"
        assert answer.text.strip(), scene.step.typed
    if stage.core.services.commands.get(scene.step.name).is_private:
        assert any(answer.is_private for answer in scene.answers), scene.step.typed


def _check_what_is_shown(scene: Scene) -> None:
    """The words of the answer's beginning stand there, for the caller alone where they are."""
    shown = scene.shown if isinstance(scene.shown, str) else json.dumps(scene.shown)
    assert not [words for words in WRONG if words in shown], scene.step.typed
    words = re.findall(r"[A-Za-z]{3,}", scene.answers[-1].text)[:5]
    assert [word for word in words if word not in shown] == [], scene.step.typed
    if isinstance(scene.shown, list) and scene.answers[-1].is_private:
        is_told = any(
            one.get("flags", 0) & EPHEMERAL
            or one.get("response_type") == "ephemeral"
            or one.get("method") == "chat.postEphemeral"
            for one in scene.shown
        )
        assert is_told, scene.step.typed
