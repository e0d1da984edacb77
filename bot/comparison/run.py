"""The same question to several models, and what became of each answer.

It neither shows anything nor chooses models; who compares does.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from bot.engine.base import (
    Engine,
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    Loading,
    ReasoningDelta,
    TextDelta,
    Usage,
    Waiting,
)
from bot.errors import UserFacingError

ModelEvent = tuple[str, EngineEvent]
"""A model's name and what it does."""


async def compare(
    engine: Engine, models: Sequence[str], request: Callable[[str], GenerationRequest]
) -> AsyncGenerator[ModelEvent, None]:
    """Ask each model what `request` makes for it and yield what they do.

    One model after another, each once: each has the whole machine, so that their times can be
    compared, and no two need fit into memory at once. A model that cannot answer, for whatever
    reason that may be told, yields `Finished(ERROR)` with the text, and the next one is asked.
    Close the generator (`contextlib.aclosing`) to stop the model that is answering.
    """
    for model in dict.fromkeys(models):
        try:
            async with engine.stream(request(model)) as events:
                async for event in events:
                    yield model, event
        except UserFacingError as error:
            yield model, Finished(FinishReason.ERROR, Usage(), error.text)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One model's answer so far. Times are seconds on any clock that only goes forward.

    `loaded` is how far the model is loaded (0 to 1), None where it is not being loaded; loading
    does not count as time of the answer.
    """

    model: str
    text: str = ""
    loaded: float | None = None
    began_s: float | None = None
    ended_s: float | None = None
    finished: Finished | None = None

    def after(self, event: EngineEvent, time_s: float) -> "Contestant":
        """What it is after an event that came at `time_s`."""
        match event:
            case Waiting():
                return self
            case Loading():
                return replace(self, loaded=event.fraction, began_s=time_s)
            case TextDelta():
                return replace(self, text=self.text + event.text, loaded=None)
            case ReasoningDelta():
                return replace(self, loaded=None)
            case Finished():
                return replace(self, loaded=None, ended_s=time_s, finished=event)
            case _:
                assert_never(event)

    @property
    def has_answered(self) -> bool:
        """Whether there is an answer, whole or cut at a limit."""
        return self.finished is not None and self.finished.reason is not FinishReason.ERROR

    @property
    def error(self) -> str | None:
        """Why there is no answer, in words that may be shown."""
        return self.finished.error if self.finished else None

    @property
    def duration_s(self) -> float | None:
        """How long a finished answer took."""
        if self.began_s is None or self.ended_s is None:
            return None
        return self.ended_s - self.began_s

    @property
    def tokens_per_s(self) -> float | None:
        """The speed that the engine measured."""
        return self.finished.usage.tokens_per_s if self.finished else None


class Comparison:
    """All answers so far, in the order of the models; `time_s` is when the first was asked."""

    def __init__(self, models: Sequence[str], time_s: float) -> None:
        self._contestants = {model: Contestant(model) for model in models}
        self._ask_next(time_s)

    @property
    def contestants(self) -> tuple[Contestant, ...]:
        """One for each model."""
        return tuple(self._contestants.values())

    def apply(self, model: str, event: EngineEvent, time_s: float) -> Contestant:
        """Take in an event of `compare` and return that model's contestant after it."""
        contestant = self._contestants[model].after(event, time_s)
        self._contestants[model] = contestant
        if contestant.finished:
            self._ask_next(time_s)
        return contestant

    def _ask_next(self, time_s: float) -> None:
        for model, contestant in self._contestants.items():
            if contestant.began_s is None:
                self._contestants[model] = replace(contestant, began_s=time_s)
                return
