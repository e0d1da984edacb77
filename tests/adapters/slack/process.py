"""The bot as a process of its own, connected to the loopback Slack; run as a module it is one.

`python -m tests.adapters.slack.process FOLDER ADDRESS` begins answers and never ends them.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from adapters.slack.adapter import SlackAdapter
from bot.clock import utc_now
from bot.flow.queues import Limits
from bot.store.sql.store import SqlStore
from tests.adapters.slack.doubles import settings_with
from tests.doubles.scripted import ScriptedEngine
from tests.doubles.slow_engine import SlowEngine
from tests.running_flow import composed
from tests.sockets import until


@asynccontextmanager
async def bot(
    address: str,
    folder: Path,
    engine: ScriptedEngine,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = utc_now,
    **given: object,
) -> AsyncGenerator[SlackAdapter, None]:
    """A process's whole message flow with the adapter connected; at the end it stops."""
    store = await SqlStore.open(folder)
    orchestrator, services = composed(store, engine, now, Limits())
    settings = settings_with(address, **given)
    adapter = SlackAdapter(settings, services, now, clock)
    services.account = adapter.account
    orchestrator.attach(adapter)
    started = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            flow = group.create_task(orchestrator.run(started))
            await started.wait()
            serving = group.create_task(adapter.run())
            await until(adapter.client.is_serving.is_set)
            yield adapter
            serving.cancel()
            flow.cancel()
    finally:
        await store.close()


async def _begin_and_wait(folder: Path, address: str) -> None:
    engine = SlowEngine()
    engine.permits.release()
    engine.permits.release()
    async with bot(address, folder, engine):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_begin_and_wait(Path(sys.argv[1]), sys.argv[2]))
