"""Draws docs/pictures/discord-*.png: the real adapter in simcord's simulated Discord.

    .venv/bin/python docs/pictures/make_discord_pictures.py

The answers are written here; how they are posted, split and ended is the adapter's doing. Needs
what `pip install simcord[preview]` brings, and Chromium (Debian: chromium) on the path.
"""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image

from bot.messages import Action, CommandInvoked, Figures, IncomingMessage, ReplyView
from tests.adapters.discord.doubles import SimulatedDiscord, simulated

FOLDER = Path(__file__).parent
WINDOW = (1090, 560)
LEFT, TOP = 256, 122
"""Where the channel's messages begin in the window; the rest is the simulation's."""


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


async def main() -> None:
    """Draw all of them."""
    async with simulated() as double:
        await _mention(double)
        await _shoot(double, "mention", 240)
    async with simulated() as double:
        await _code(double)
        await _shoot(double, "code", 320)
    async with simulated() as double:
        await _model_use(double)
        await _shoot(double, "model-use", 90)


async def _mention(double: SimulatedDiscord) -> None:
    await _answer(double, await double.say("hello!"), HELLO, "fireside", LABEL)


async def _code(double: SimulatedDiscord) -> None:
    event = await double.say("what is a generator in Python?")
    growing = CODE[: CODE.index("start -= 1")] + "\n```"
    await double.adapter.post(event.target, ReplyView(growing, actions=(Action.STOP,)), "c.0")


async def _model_use(double: SimulatedDiscord) -> None:
    event = await double.command("model use", {"name": "smollm2-360m"})
    said = "SmolLM2 360M (smollm2-360m) answers this conversation from the next message on."
    await _answer(double, event, said, None, None)


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


async def _shoot(double: SimulatedDiscord, name: str, height: int) -> None:
    preview = double.env.preview(
        double.channel,
        viewers=[double.ann],
        layout="channel",
        width=WINDOW[0],
        height=WINDOW[1],
    )
    file = FOLDER / f"discord-{name}.png"
    with tempfile.TemporaryDirectory() as profile:
        async with preview:
            browser = await asyncio.create_subprocess_exec(
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                "--virtual-time-budget=5000",
                f"--user-data-dir={profile}",
                f"--window-size={WINDOW[0]},{WINDOW[1]}",
                f"--screenshot={file}",
                preview.url,
                stderr=asyncio.subprocess.DEVNULL,
            )
            await browser.wait()
    with Image.open(file) as whole:
        whole.crop((LEFT, TOP, WINDOW[0], TOP + height)).convert(
            "P", palette=Image.Palette.ADAPTIVE
        ).save(file, optimize=True)


if __name__ == "__main__":
    asyncio.run(main())
