"""A remote model on loopback servers, and how it is asked."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from bot.engine.base import FinishReason, GenerationRequest, SamplingParameters
from bot.engine.openai_engine import OpenAIEngine
from config.catalogue import EngineKind, Family, ModelEntry
from tests.engine.reading import Read, read, request_for
from tests.model_server import MODEL, ModelServer

MakeEngine = Callable[..., OpenAIEngine]


class Clock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def entry_for(*servers: ModelServer, **changes: Any) -> ModelEntry:
    values: dict[str, Any] = {
        "name": "far",
        "title": "Far",
        "family": Family.CHAT,
        "description": "made by the tests",
        "licence": "MIT",
        "engine": EngineKind.OPENAI,
        "endpoints": tuple(server.url for server in servers),
        "remote_model": MODEL,
        "context_tokens": 4096,
        "assumes_context": True,
        "has_system_prompt": True,
        "weight_bytes": 0,
    }
    return ModelEntry.model_validate(values | changes)


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


def ask(text: str = "why?", **sampling: Any) -> GenerationRequest:
    return request_for("far", text, SamplingParameters(**sampling))


async def answer(engine: OpenAIEngine, text: str = "why?", **sampling: Any) -> Read:
    return await read(engine, ask(text, **sampling))


def failed(answer: Read) -> str:
    """The text that an answer failed with."""
    assert answer.finished.reason is FinishReason.ERROR
    assert answer.finished.error
    return answer.finished.error
