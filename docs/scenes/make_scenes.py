"""Records docs/scenes: every command as its member sees it on Discord, on Slack, in the terminal.

    PYTHONPATH=. .venv/bin/python docs/scenes/make_scenes.py

The script of tests/scenes is played through the real message flow and the real adapters; the
models' answers are written there. Discord's are drawn in simcord's simulation, which needs what
`pip install simcord[screenshot]` brings, and Chromium (Debian: chromium) on the path.
"""
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# Playwright is none of the project's dependencies.

import asyncio
import json
import re
from collections.abc import Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.async_api import Page, async_playwright
from typing_extensions import override

from bot.command import CommandRegistry
from bot.commands.build import described_registry
from bot.messages import CommandInvoked, IncomingMessage, ReplyView
from tests.adapters.discord.doubles import GuildServices, SimulatedDiscord, simulated
from tests.scenes.script import Chat, Run, Say
from tests.scenes.stages import discord, slack, terminal
from tests.scenes.walk import Scene, walk
from tests.slack_server.workspace import Json

FOLDER = Path(__file__).parent
WINDOW = (1090, 6000)
LEFT, TOP = 256, 122
"""Where the channel's messages begin in the window; the rest is the simulation's."""
SETTLE_MS = 1500
COLOURS = 96

MAX_LINES, MAX_CHARS = 40, 1200
"""Longer answers are cut in the record."""

FINAL = ("chat.postMessage", "chat.postEphemeral", "chat.update", "response_url", "files.complete")
"""The calls that show something which stays."""


class RealCommands(GuildServices):
    """Offers the commands that there are."""

    @property
    @override
    def commands(self) -> CommandRegistry:
        return described_registry()


async def main() -> None:
    """Record all of them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with terminal(folder / "terminal") as stage:
            _write_terminal([scene async for scene in walk(stage)])
        async with slack(folder / "slack") as stage:
            _write_slack([scene async for scene in walk(stage)])
        async with discord(folder / "discord") as stage:
            played = [scene async for scene in walk(stage)]
    for act, scenes in groupby(played, lambda scene: scene.act.name):
        async with simulated(services=RealCommands()) as double:
            await _play_again(double, list(scenes))
            await _shoot(double, FOLDER / f"discord-{act}.png")


def _write_terminal(scenes: Sequence[Scene]) -> None:
    registry = described_registry()
    parts: list[str] = []
    for scene in scenes:
        match scene.step:
            case Run():
                typed = scene.step.line(registry)
            case Say(text):
                typed = text
            case Chat():
                continue
        lines = str(scene.shown).splitlines()
        left = len(lines) - MAX_LINES
        more = [f"… ({left} more lines)"] if left > 0 else []
        parts.append("\n".join([f"You: {typed}", *lines[:MAX_LINES], *more]))
    (FOLDER / "terminal.txt").write_text("\n\n".join(parts) + "\n")


def _write_slack(scenes: Sequence[Scene]) -> None:
    registry = described_registry()
    record = {
        scene.step.line(registry): [
            _short(call)
            for call in scene.shown
            if isinstance(call, dict) and str(call["method"]).startswith(FINAL)
        ]
        for scene in scenes
        if isinstance(scene.step, Run)
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    text = re.sub(r"\d{10}\.\d{6}", "1767225600.000000", text)
    (FOLDER / "slack.json").write_text(text + "\n")


def _short(call: Json) -> Json:
    """A call without what differs each time, and without the end of very long texts."""

    def cut(value: object) -> object:
        if isinstance(value, str) and len(value) > MAX_CHARS:
            return f"{value[:MAX_CHARS]}…"
        if isinstance(value, list):
            return [cut(one) for one in value]
        if isinstance(value, dict):
            return {key: cut(one) for key, one in value.items()}
        return value

    return {key: cut(value) for key, value in call.items() if key != "metadata"}


async def _play_again(double: SimulatedDiscord, scenes: Sequence[Scene]) -> None:
    """Say and command the same, and post what was answered."""
    asked: IncomingMessage | None = None
    for number, scene in enumerate(scenes):
        event: IncomingMessage | CommandInvoked
        match scene.step:
            case Chat(text):
                await double.ben.send(double.channel, text)
                continue
            case Say(text):
                event = asked = await double.say(text)
            case Run():
                event = await double.command(scene.step.name, scene.step.arguments)
        for place, answer in enumerate(scene.answers):
            is_own = isinstance(scene.step, Say) or place == _own_answer(scene)
            target = event if is_own or asked is None else asked
            for part in answer:
                await _post(double, target, part, f"{number}.{place}.{part.index}")


def _own_answer(scene: Scene) -> int:
    """Which answer is the command's own: where it ended another one, the one in private."""
    private = [place for place, answer in enumerate(scene.answers) if answer[-1].is_private]
    return (private or [len(scene.answers) - 1])[-1]


async def _post(
    double: SimulatedDiscord, event: IncomingMessage | CommandInvoked, view: ReplyView, key: str
) -> None:
    await double.adapter.post(event.target, view, key)


async def _shoot(double: SimulatedDiscord, file: Path) -> None:
    """Take the channel's picture as Ann sees it."""
    preview = double.env.preview(
        double.channel, viewers=[double.ann], layout="channel", width=WINDOW[0], height=WINDOW[1]
    )
    async with preview, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=which("chromium"), args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        await page.goto(preview.url)
        await page.wait_for_selector("[data-message-id]")
        await page.wait_for_timeout(SETTLE_MS)
        bottom = await _bottom(page)
        taken = await page.screenshot()
        await browser.close()
    with Image.open(BytesIO(taken)) as whole:
        shown = whole.crop((LEFT, TOP, WINDOW[0], min(bottom + 12, WINDOW[1])))
        shown.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLOURS).save(file, optimize=True)


async def _bottom(page: Page) -> int:
    """Where the last message ends."""
    found = "[...document.querySelectorAll('[data-message-id]')]"
    return int(
        await page.evaluate(f"Math.max(...{found}.map(m => m.getBoundingClientRect().bottom))")
    )


if __name__ == "__main__":
    asyncio.run(main())
