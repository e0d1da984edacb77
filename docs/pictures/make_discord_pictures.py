"""Draws docs/pictures/discord-*.png: the real adapter in simcord's simulated Discord.

    .venv/bin/python docs/pictures/make_discord_pictures.py

The answers are written here; how they are posted, split and ended is the adapter's doing. Needs
what `pip install simcord[screenshot]` brings, and Chromium (Debian: chromium) on the path.
"""

# Playwright comes with simcord[screenshot], which the project's own environment does without.
# pyright: reportMissingImports=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import which

from PIL import Image
from playwright.async_api import async_playwright
from typing_extensions import override

from bot.adapter import Choice
from bot.messages import Action, CommandInvoked, Figures, IncomingMessage, ReplyView
from config.catalogue import Catalogue
from tests.adapters.discord.doubles import GuildServices, SimulatedDiscord, simulated

FOLDER = Path(__file__).parent
WINDOW = (1090, 560)
LEFT, TOP = 256, 122
"""Where the channel's messages begin in the window; the rest is the simulation's."""

SETTLE_MS = 1000

CODE = """A generator keeps its place between two values:

```python
def countdown(start: int):
    while start > 0:
        yield start
        start -= 1
```

`list(countdown(3))` is `[3, 2, 1]`."""
HELLO = "Hi! Nice of you to drop by. What's new?"
LABEL = "starter model: `fireside models list` shows better ones"


class CatalogueServices(GuildServices):
    """Completes the names of the catalogue's models."""

    @override
    async def complete(self, command: str, parameter: str, prefix: str) -> Sequence[Choice]:
        entries = Catalogue.load().entries.values()
        return [Choice(one.name, one.title) for one in entries if one.name.startswith(prefix)]


async def main() -> None:
    """Draw all of them."""
    async with simulated() as double:
        await _mention(double)
        await _shoot(double, "mention", 240)
    async with simulated() as double:
        await _code(double)
        await _shoot(double, "code", 320)
    async with simulated(services=CatalogueServices()) as double:
        await _shoot(double, "autocomplete", 330, ["/model use", "sm"])


async def _mention(double: SimulatedDiscord) -> None:
    await _answer(double, await double.say("hello!"), HELLO, "fireside", LABEL)


async def _code(double: SimulatedDiscord) -> None:
    event = await double.say("what is a generator in Python?")
    growing = CODE[: CODE.index("start -= 1")] + "\n```"
    await double.adapter.post(event.target, ReplyView(growing, actions=(Action.STOP,)), "c.0")


async def _answer(
    double: SimulatedDiscord,
    event: IncomingMessage | CommandInvoked,
    text: str,
    model: str | None,
    footer: str | None,
) -> None:
    view = ReplyView(text, 0, len(text), is_complete=True, is_last=True, footer=footer)
    if model is not None:
        offered = (Action.RETRY, Action.GOOD, Action.BAD)
        view = replace(view, figures=Figures(model, 0.4), actions=offered)
    await double.adapter.post(event.target, view, f"{event.id[-16:]}.0")


async def _shoot(
    double: SimulatedDiscord, name: str, height: int, typed: Sequence[str] = ()
) -> None:
    """Take the channel's picture, after Ann has typed something; Tab ends each piece of it."""
    preview = double.env.preview(
        double.channel, viewers=[double.ann], layout="channel", width=WINDOW[0], height=WINDOW[1]
    )
    file = FOLDER / f"discord-{name}.png"
    async with preview, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=which("chromium"), args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        await page.goto(preview.url)
        await page.wait_for_selector("#channel-composer-input")
        for piece in typed:
            if piece is typed[0]:
                await page.locator("#channel-composer-input").click()
            else:
                await page.keyboard.press("Tab")
            await page.keyboard.type(piece)
            await page.wait_for_timeout(SETTLE_MS)
        await page.wait_for_timeout(SETTLE_MS)
        await page.screenshot(path=file)
        await browser.close()
    with Image.open(file) as whole:
        top = WINDOW[1] - height if typed else TOP
        whole.crop((LEFT, top, WINDOW[0], top + height)).convert(
            "P", palette=Image.Palette.ADAPTIVE
        ).save(file, optimize=True)


if __name__ == "__main__":
    asyncio.run(main())
