"""Every command, seen once on every platform."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bot.commands.build import described_registry
from bot.platforms.discovery import adapter_modules
from tests.doubles.discord_server import EPHEMERAL
from tests.scenes import stages
from tests.scenes.script import ACTS, Run, scenes
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
    seen: list[Run] = []
    async with STAGES[platform](tmp_path) as stage:
        async for scene in walk(stage):
            if isinstance(scene.step, Run):
                command = stage.core.services.commands.get(scene.step.name)
                _check_the_answer(scene, scene.step.typed, is_private=command.is_private)
                _check_what_is_shown(scene, scene.step.typed)
                seen.append(scene.step)
    assert seen == scenes()


def _check_the_answer(scene: Scene, typed: str, *, is_private: bool) -> None:
    for part in (part for answer in scene.answers for part in answer):
        assert not part.is_error, f"{typed}: {part.text}"
        assert part.text.strip(), typed
    assert not is_private or any(answer[-1].is_private for answer in scene.answers), typed


def _check_what_is_shown(scene: Scene, typed: str) -> None:
    """The words of the answer's beginning stand there, for the caller alone where they are."""
    shown = scene.shown if isinstance(scene.shown, str) else json.dumps(scene.shown)
    answer = scene.answers[-1][0]
    assert not [words for words in WRONG if words in shown], typed
    words = re.findall(r"[A-Za-z]{3,}", answer.text)[:5]
    assert [word for word in words if word not in shown] == [], typed
    if isinstance(scene.shown, list) and answer.is_private:
        is_told = any(
            one.get("flags", 0) & EPHEMERAL
            or one.get("response_type") == "ephemeral"
            or one.get("method") == "chat.postEphemeral"
            for one in scene.shown
        )
        assert is_told, typed


def test_what_the_documentation_shows_is_all_there_is() -> None:
    folder = Path(__file__).parents[2] / "docs" / "scenes"
    lines = [step.line(described_registry()) for step in scenes()]
    typed = re.findall(r"^You: (/.*)$", (folder / "terminal.txt").read_text(), re.MULTILINE)
    sent = json.loads((folder / "slack.json").read_text())

    assert typed == lines
    assert [line for line, calls in sent.items() if calls] == lines
    pictures = {one.name for one in folder.glob("discord-*.png")}
    assert pictures == {f"discord-{act.name}.png" for act in ACTS}
