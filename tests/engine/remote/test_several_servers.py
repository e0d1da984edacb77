"""Several servers of one model: which is asked, and which is passed over."""

import asyncio

from tests.doubles.model_server import ModelServer, Refusal, Stream
from tests.engine.reading import Read, read, request_for
from tests.engine.remote.asking import Clock, answer
from tests.engine.remote.conftest import MakeEngine


async def test_requests_go_to_the_server_with_the_least_to_do(
    make: MakeEngine, server: ModelServer, other: ModelServer
) -> None:
    engine = make(server, other)
    for one in (server, other):
        one.plan.extend([Stream(is_held=True, words=("Yes.",))] * 4)
    reading = [asyncio.create_task(answer(engine, f"question {n}")) for n in range(8)]
    while len(server.requests) + len(other.requests) < 8:  # noqa: ASYNC110 - the servers say so
        await asyncio.sleep(0)
    server.gate.set()
    other.gate.set()
    await asyncio.gather(*reading)
    assert len(server.requests) == len(other.requests) == 4


async def test_a_conversation_stays_with_one_of_equal_servers(
    make: MakeEngine, server: ModelServer, other: ModelServer
) -> None:
    engine = make(server, other)
    for _ in range(4):
        await read(engine, request_for("far", "why?", cache_key="one"))
    assert {len(server.requests), len(other.requests)} == {0, 4}


async def test_a_failing_server_is_passed_over_until_it_is_well_again(
    make: MakeEngine, server: ModelServer, other: ModelServer, clock: Clock
) -> None:
    engine = make(server, other)

    async def ask_for(key: str) -> Read:
        return await read(engine, request_for("far", "why?", cache_key=key))

    keys = [str(number) for number in range(16)]
    for key in keys:
        await ask_for(key)
    assert server.requests
    assert other.requests
    server.requests.clear()
    server.plan.extend([Refusal(500)] * 3)
    for key in keys:
        assert (await ask_for(key)).finished.error is None
    assert len(server.requests) == 3
    checks = server.checks
    for key in keys:
        await ask_for(key)
    assert (len(server.requests), server.checks) == (3, checks)
    clock.now_s += 6
    while server.checks == checks:
        await ask_for("any")
    for key in keys:
        await ask_for(key)
    assert len(server.requests) > 3


async def test_another_server_answers_at_once_for_one_that_is_gone(
    make: MakeEngine, server: ModelServer, clock: Clock
) -> None:
    gone = ModelServer()
    gone.url = "http://127.0.0.1:9/v1"
    engine = make(gone, server)
    for key in "abcdefgh":
        got = await read(engine, request_for("far", "why?", cache_key=key))
        assert got.finished.error is None
    assert clock.slept == []
    await engine.load("far")
