"""How much memory the connection takes in very many servers.

    .venv/bin/python -m tests.adapters.discord.memory

The bot runs in a process of its own against the loopback Discord, without a model.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from tests.adapters.discord.process import bot
from tests.doubles.discord_objects import CHANNEL_ID, GUILD_ID, guild
from tests.doubles.discord_server import running
from tests.doubles.scripted import ScriptedEngine
from tests.sockets import until

GUILDS = 5000
CHANNELS, ROLES = 30, 20


async def main() -> None:
    """Bring up the bot, tell it of the guilds, and print what its process takes."""
    with tempfile.TemporaryDirectory() as folder:
        async with running() as server:
            arguments = ("-m", "tests.adapters.discord.memory", folder, server.address)
            process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
            await until(lambda: server.has_bot)
            for number in range(1, GUILDS):
                await server.emit("GUILD_CREATE", _large_guild(int(GUILD_ID) + 1000 * number))
            await process.wait()


def _large_guild(guild_id: int) -> dict[str, Any]:
    """A guild of some size; its ids count up from its own."""
    about: dict[str, Any] = guild({CHANNEL_ID: None}) | {
        "id": str(guild_id),
        "joined_at": "2026-01-01T00:00:00+00:00",
    }
    channels: list[dict[str, Any]] = [
        about["channels"][0] | {"id": str(guild_id + n)} for n in range(1, CHANNELS + 1)
    ]
    everyone: dict[str, Any] = about["roles"][0] | {"id": str(guild_id)}
    roles: list[dict[str, Any]] = [
        everyone | {"id": str(guild_id + 500 + n)} for n in range(1, ROLES)
    ]
    return about | {"channels": channels, "roles": [everyone, *roles], "threads": []}


async def serve(folder: Path, address: str) -> None:
    """The bot: its memory with one guild and with all of them."""
    async with bot(address, folder, ScriptedEngine()) as adapter:
        before = _resident_mib()
        async with asyncio.timeout(300):
            while len(adapter.client.guilds) < GUILDS:  # noqa: ASYNC110 - it is on the other side
                await asyncio.sleep(0.1)
        after = _resident_mib()
    sys.stdout.write(f"1 guild: {before:.0f} MiB; {GUILDS} guilds: {after:.0f} MiB\n")


def _resident_mib() -> float:
    return psutil.Process().memory_info().rss / (1 << 20)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(serve(Path(given[0]), given[1]) if given else main())
