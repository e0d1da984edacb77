"""Asking an engine in tests: requests, and reading a stream to its end. It imports no torch."""

from dataclasses import dataclass, replace
from typing import Any

from bot.conversation import Role, Turn
from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    GenerationRequest,
    Loading,
    ReasoningDelta,
    SamplingParameters,
    TextDelta,
)

GREEDY = SamplingParameters(temperature=0.0, max_tokens=12)


def request_for(
    model: str, text: str, sampling: SamplingParameters = GREEDY, **changes: Any
) -> GenerationRequest:
    """A request with one question."""
    request = GenerationRequest(model, (Turn(Role.USER, text),), sampling)
    return replace(request, **changes)


@dataclass(frozen=True, slots=True)
class Read:
    """A stream read to its end."""

    events: tuple[EngineEvent, ...]

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def reasoning(self) -> str:
        """The reasoning."""
        return "".join(e.text for e in self.events if isinstance(e, ReasoningDelta))

    @property
    def loads(self) -> list[Loading]:
        """What was said of loading."""
        return [event for event in self.events if isinstance(event, Loading)]

    @property
    def finished(self) -> Finished:
        """The last event."""
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last


async def read(engine: Engine, request: GenerationRequest) -> Read:
    """Everything that comes of a request."""
    async with engine.stream(request) as stream:
        return Read(tuple([event async for event in stream]))
