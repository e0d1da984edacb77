"""Fifty threads at once over real sockets, the embedded model answering: what the loop feels.

    .venv/bin/python -m tests.adapters.slack.load

Prints the event loop's lag and what the rate limits refused. The loopback Slack runs in the same
process and loop, so that the lag holds its work too; it keeps Slack's limits for each method.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from bench.event_loop import watch_lag
from bot.engine.local.engine import TransformersEngine
from config.catalogue import BUILTIN, Catalogue
from tests.adapters.slack.process import bot
from tests.doubles.scripted import ScriptedEngine
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import SlackServer, running
from tests.slack_server.workspace import person

MODEL = Path(__file__).parents[3] / "bot" / "builtin" / "model"
THREADS, CHANNELS = 50, 5
TIERS = {
    "chat.startStream": 20,
    "chat.stopStream": 20,
    "chat.update": 50,
    "conversations.info": 50,
    "conversations.replies": 50,
    "chat.appendStream": 100,
    "users.info": 100,
    "assistant.threads.setStatus": 100,
    "chat.postMessage": 60,
}
"""Calls a minute; posts are counted by channel."""

LIMIT_S = 400.0


def limits() -> dict[str, Any]:
    """Slack's own limits, which are also what the bot begins with."""
    return {
        "tier_2_per_minute": 20,
        "tier_3_per_minute": 50,
        "tier_4_per_minute": 100,
        "posts_per_minute": 60,
    }


def answered(server: SlackServer) -> int:
    """How many answers are there, whole and with their buttons."""
    own = [one for n in range(CHANNELS) for one in server.own_messages(f"C{n}LOAD")]
    return sum("fireside:do:retry" in str(one.get("blocks")) for one in own)


async def ask(server: SlackServer) -> None:
    """Fifty members ask, each in a thread of their own."""
    for number in range(CHANNELS):
        server.workspace.add_channel(f"C{number}LOAD")
    for number in range(THREADS):
        user_id = f"U{number}LOAD"
        server.workspace.users[user_id] = person(user_id, f"member{number}")
        channel = f"C{number % CHANNELS}LOAD"
        await Member(server, user_id).say(f"{MENTION} how are you?", channel)


async def main() -> None:
    """Ask fifty questions at once and measure until all are answered."""
    entry = Catalogue.load().get(BUILTIN).model_copy(update={"name": "small"})
    engine = TransformersEngine({entry.name: entry}, lambda _entry: MODEL)
    await engine.start()
    await engine.load(entry.name)
    lags: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with running() as server:
            server.limits = {method: (count, 60.0) for method, count in TIERS.items()}
            # It has the methods that the flow calls, whatever its class.
            answering = cast(ScriptedEngine, engine)
            async with bot(server.address, Path(folder), answering, **limits()):
                watch = asyncio.create_task(watch_lag(lags))
                began_s = asyncio.get_running_loop().time()
                await ask(server)
                async with asyncio.timeout(LIMIT_S):
                    while answered(server) < THREADS:  # noqa: ASYNC110 - the other side is waited for
                        await asyncio.sleep(0.05)
                took_s = asyncio.get_running_loop().time() - began_s
                watch.cancel()
            streams = len(server.called("chat.startStream"))
    await engine.close()
    ordered = sorted(1000 * lag for lag in lags)
    middle, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    sys.stdout.write(
        f"{THREADS} answers in {took_s:.1f} s, {streams} of them streams, "
        f"{server.refused_429} calls refused\n"
        f"loop lag: median {middle:.1f} ms, p99 {late:.1f} ms, max {ordered[-1]:.1f} ms\n"
    )


if __name__ == "__main__":
    asyncio.run(main())
