"""Stopping what is made for a member."""

import asyncio

import pytest

from bot.concurrency import Stopped, StopSwitch
from tests.running_flow import until


async def test_what_runs_is_stopped_where_it_waits() -> None:
    switch, steps = StopSwitch(), list[str]()

    async def work() -> None:
        async with switch.heeded():
            steps.append("begun")
            await asyncio.Event().wait()

    working = asyncio.ensure_future(work())
    await until(lambda: steps == ["begun"])
    switch.stop()
    with pytest.raises(Stopped):
        await working


async def test_what_has_not_begun_ends_at_its_first_wait() -> None:
    switch = StopSwitch()
    switch.stop()
    with pytest.raises(Stopped):
        async with switch.heeded():
            await asyncio.Event().wait()


async def test_a_time_limit_inside_is_no_stop() -> None:
    with pytest.raises(TimeoutError):
        async with StopSwitch().heeded():
            raise TimeoutError


async def test_what_is_never_stopped_ends_by_itself() -> None:
    switch = StopSwitch()
    async with switch.heeded():
        await asyncio.sleep(0)
    switch.stop()
    with pytest.raises(Stopped):
        async with switch.heeded():
            await asyncio.sleep(0)
