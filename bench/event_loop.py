"""How late an event loop is while something else runs."""

import asyncio
import time

LAG_INTERVAL_S = 0.005


async def watch_lag(lags_s: list[float]) -> None:
    """How late the event loop wakes up."""
    while True:
        asked_s = time.perf_counter()
        await asyncio.sleep(LAG_INTERVAL_S)
        lags_s.append(time.perf_counter() - asked_s - LAG_INTERVAL_S)
