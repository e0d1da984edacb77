"""Asking remote models in tests: their catalogue entries, questions, and time that is made."""

from typing import Any

from bot.engine.base import FinishReason, GenerationRequest, SamplingParameters
from bot.engine.remote.engine import OpenAIEngine
from config.catalogue import EngineKind, Family, ModelEntry
from tests.doubles.model_server import ModelServer
from tests.engine.reading import Read, read, request_for


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
        "remote_model": servers[0].dialect.model,
        "context_tokens": 4096,
        "assumes_context": True,
        "has_system_prompt": True,
        "weight_bytes": 0,
    }
    return ModelEntry.model_validate(values | changes)


def ask(text: str = "why?", **sampling: Any) -> GenerationRequest:
    return request_for("far", text, SamplingParameters(**sampling))


async def answer(engine: OpenAIEngine, text: str = "why?", **sampling: Any) -> Read:
    return await read(engine, ask(text, **sampling))


def failed(answer: Read) -> str:
    """The text that an answer failed with."""
    assert answer.finished.reason is FinishReason.ERROR
    assert answer.finished.error
    return answer.finished.error
