"""The worker thread: what is submitted runs, and its death is told, never a hang."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator

import pytest

from bot.engine.worker import WorkerState, WorkerThread
from bot.errors import EngineUnavailable


class Killed(BaseException):
    """What the tests kill a worker with."""


def kill() -> None:
    raise Killed


@pytest.fixture
async def worker() -> AsyncGenerator[WorkerThread]:
    thread = WorkerThread("test worker")
    thread.start()
    yield thread
    await thread.stop()


async def test_work_runs_in_one_other_thread(worker: WorkerThread) -> None:
    first = await worker.run(threading.get_ident)
    second = await worker.run(threading.get_ident)
    assert first == second != threading.get_ident()


async def test_work_runs_in_the_order_of_submission(worker: WorkerThread) -> None:
    seen: list[int] = []
    for number in range(20):
        worker.post(lambda number=number: seen.append(number))
    await worker.run(lambda: None)
    assert seen == list(range(20))


async def test_an_exception_goes_to_whoever_waits_and_the_worker_lives(
    worker: WorkerThread,
) -> None:
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(lambda: 7) == 7


async def test_a_cancelled_caller_does_not_disturb_the_worker(worker: WorkerThread) -> None:
    gate = threading.Event()
    task = asyncio.create_task(worker.run(lambda: gate.wait(10)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert await worker.run(lambda: 7) == 7


async def test_everybody_who_waits_is_told_of_the_death() -> None:
    deaths: list[BaseException] = []
    worker = WorkerThread("test worker", on_death=deaths.append)
    worker.start()
    gate = threading.Event()
    held = asyncio.create_task(worker.run(lambda: gate.wait(10)))
    waiting = [asyncio.create_task(worker.run(work)) for work in (kill, lambda: None)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [EngineUnavailable, EngineUnavailable]
    assert await held
    await worker.stop()
    assert worker.state is WorkerState.DEAD
    assert isinstance(worker.error, Killed)
    assert deaths == [worker.error]


async def test_a_failing_step_kills_the_worker() -> None:
    loop = asyncio.get_running_loop()
    dead = asyncio.Event()
    worker = WorkerThread(
        "test worker",
        step=lambda: bool(1 // 0),
        on_death=lambda _error: loop.call_soon_threadsafe(dead.set) and None,
    )
    worker.start()
    worker.post(lambda: None)
    await dead.wait()
    assert worker.state is WorkerState.DEAD
    with pytest.raises(EngineUnavailable):
        await worker.run(lambda: None)
    await worker.stop()


async def test_steps_go_on_until_there_is_nothing_to_do_and_again_when_woken() -> None:
    loop = asyncio.get_running_loop()
    idle: asyncio.Queue[int] = asyncio.Queue()
    steps: list[int] = []

    def step() -> bool:
        steps.append(1)
        has_more = len(steps) % 5 != 0
        if not has_more:
            loop.call_soon_threadsafe(idle.put_nowait, len(steps))
        return has_more

    worker = WorkerThread("test worker", step=step)
    worker.start()
    worker.post(lambda: None)
    assert await idle.get() == 5
    worker.post(lambda: None)
    assert await idle.get() == 10
    await worker.stop()
    assert len(steps) == 10


async def test_stopping_runs_what_was_submitted_and_joins_the_thread() -> None:
    worker = WorkerThread("test worker")
    worker.start()
    seen: list[int] = []
    worker.post(lambda: seen.append(1))
    await worker.stop()
    await worker.stop()
    assert seen == [1]
    assert "test worker" not in {thread.name for thread in threading.enumerate()}


async def test_stopping_a_worker_that_never_started_does_nothing() -> None:
    await WorkerThread("test worker").stop()
    assert "test worker" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux only")
async def test_the_thread_alone_runs_at_a_lower_priority() -> None:
    worker = WorkerThread("test worker", nice=5)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    worker.start()
    lowered = await worker.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    await worker.stop()
    assert lowered == 5
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
