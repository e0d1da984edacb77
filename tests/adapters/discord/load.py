"""Fifty conversations at once over real sockets, the embedded model answering: what the loop feels.

    .venv/bin/python -m tests.adapters.discord.load

Prints the event loop's lag and how often each channel was written to. The loopback Discord runs in
the same process and loop, so that the lag holds its work too.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from bench.event_loop import watch_lag
from bot.engine.local.engine import TransformersEngine
from config.catalogue import BUILTIN, Catalogue
from tests.adapters.discord.process import bot
from tests.doubles.discord_objects import BOT_ID, CHANNEL_ID
from tests.doubles.discord_server import running
from tests.doubles.scripted import ScriptedEngine
from tests.sockets import until

MODEL = Path(__file__).parents[3] / "bot" / "builtin" / "model"
CONVERSATIONS, IN_ONE_CHANNEL = 50, 10
WRITES, WINDOW_S = 5, 5.0


async def main() -> None:
    """Ask fifty questions at once and measure until all are answered."""
    entry = Catalogue.load().get(BUILTIN).model_copy(update={"name": "small"})
    engine = TransformersEngine({entry.name: entry}, lambda _entry: MODEL)
    await engine.start()
    await engine.load(entry.name)
    lags: list[float] = []
    channels = [CHANNEL_ID] * IN_ONE_CHANNEL
    channels += [str(int(CHANNEL_ID) + 100 + n) for n in range(CONVERSATIONS - IN_ONE_CHANNEL)]
    with tempfile.TemporaryDirectory() as folder:
        async with running() as server:
            server.writes_per_window, server.window_s = WRITES, WINDOW_S
            # It has the methods that the flow calls, whatever its class.
            answering = cast(ScriptedEngine, engine)
            limits: dict[str, Any] = {"edits_per_window": WRITES, "edit_window_s": WINDOW_S}
            async with bot(server.address, Path(folder), answering, **limits):
                watch = asyncio.create_task(watch_lag(lags))
                began_s = asyncio.get_running_loop().time()
                for number, channel in enumerate(channels):
                    await server.say(f"<@{BOT_ID}> how are you?", f"m{number}", channel)
                await until(lambda: str(server.messages).count("fireside:retry") == CONVERSATIONS)
                took_s = asyncio.get_running_loop().time() - began_s
                watch.cancel()
    await engine.close()
    ordered = sorted(1000 * lag for lag in lags)
    middle, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    sys.stdout.write(
        f"{CONVERSATIONS} answers in {took_s:.1f} s, {server.refused_429} writes refused\n"
        f"loop lag: median {middle:.1f} ms, p99 {late:.1f} ms, max {ordered[-1]:.1f} ms\n"
    )


if __name__ == "__main__":
    asyncio.run(main())
