"""Loopback servers and engines over them."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from bot.engine.remote.engine import OpenAIEngine
from tests.doubles.model_server import ModelServer
from tests.engine.remote.asking import Clock, entry_for

MakeEngine = Callable[..., OpenAIEngine]


@pytest.fixture
async def server() -> AsyncGenerator[ModelServer]:
    async with ModelServer().serving() as serving:
        yield serving


@pytest.fixture
async def other() -> AsyncGenerator[ModelServer]:
    async with ModelServer().serving() as serving:
        yield serving


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(clock: Clock) -> AsyncGenerator[MakeEngine]:
    made: list[OpenAIEngine] = []

    def make(*servers: ModelServer, **changes: Any) -> OpenAIEngine:
        entry = entry_for(*servers, **changes)
        made.append(OpenAIEngine({entry.name: entry}, monotonic=clock, sleep=clock.sleep))
        return made[-1]

    yield make
    for engine in made:
        await engine.close()


@pytest.fixture
def engine(make: MakeEngine, server: ModelServer) -> OpenAIEngine:
    return make(server)
