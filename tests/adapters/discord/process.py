"""The bot as a process of its own, connected to the loopback Discord; run as a module it is one.

`python -m tests.adapters.discord.process FOLDER ADDRESS` begins answers and never ends them.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.settings import Settings
from bot.clock import utc_now
from bot.flow.queues import Limits
from bot.store.sql.store import SqlStore
from tests.adapters.discord.doubles import settings_with
from tests.doubles.scripted import ScriptedEngine
from tests.doubles.slow_engine import SlowEngine
from tests.running_flow import composed
from tests.sockets import until


def settings_for(address: str, **given: object) -> Settings:
    """Settings that point at the loopback Discord."""
    return settings_with(
        **{
            "message_content": None,
            "footer": "none",
            "api_url": f"{address}/api/v10",
            "gateway_url": f"{address.replace('http', 'ws', 1)}/gateway",
            "cdn_url": f"{address}/cdn",
            "edits_per_window": 50,
            **given,
        }
    )


@asynccontextmanager
async def bot(
    address: str,
    folder: Path,
    engine: ScriptedEngine,
    now: Callable[[], datetime] = utc_now,
    **given: object,
) -> AsyncGenerator[DiscordAdapter, None]:
    """A process's whole message flow with the adapter connected; at the end it stops."""
    store = await SqlStore.open(folder)
    orchestrator, services = composed(store, engine, now, Limits())
    adapter = DiscordAdapter(settings_for(address, **given), services, now)
    services.account = adapter.account
    orchestrator.attach(adapter)
    started = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            flow = group.create_task(orchestrator.run(started))
            await started.wait()
            serving = group.create_task(adapter.run())
            await until(lambda: any(not guild.unavailable for guild in adapter.client.guilds))
            yield adapter
            serving.cancel()
            flow.cancel()
    finally:
        await store.close()


async def _begin_and_wait(folder: Path, address: str) -> None:
    engine = SlowEngine()
    engine.permits.release()
    async with bot(address, folder, engine):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_begin_and_wait(Path(sys.argv[1]), sys.argv[2]))
