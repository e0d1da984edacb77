"""What the event loop hands to the engine's worker: an answer, a load, an unload.

Values with a way back; they do no work and import no torch.
"""

from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.engine.base import EngineEvent, Finished, FinishReason, GenerationRequest, Trace, Usage
from config.catalogue import ModelEntry


@dataclass(eq=False, slots=True)
class AnswerJob:
    """An answer to generate. `emit` may be called from the worker; `context` holds the asker's
    language; `submitted_at_s` is on the engine's monotonic clock.

    `is_cancelled` is set from the event loop and read before every step: setting a bool is atomic.
    Without `keeps_prefix` it leaves nothing in the cache: its conversation was forgotten meanwhile.
    """

    request: GenerationRequest
    entry: ModelEntry
    emit: Callable[[EngineEvent], None]
    context: Context
    submitted_at_s: float
    is_cancelled: bool = False
    is_finished: bool = field(default=False, init=False)
    keeps_prefix: bool = field(default=True, init=False)
    told_position: int | None = field(default=None, init=False)
    """The place in the queue that was told last."""
    deadline: datetime | None = field(init=False)
    """The request's, later by the time that its model took to load meanwhile."""

    def __post_init__(self) -> None:
        self.deadline = self.request.deadline

    def put_off(self, by_s: float) -> None:
        """Waiting for a model to load does not count against the answer's time."""
        if self.deadline is not None:
            self.deadline += timedelta(seconds=by_s)

    def finish(
        self,
        reason: FinishReason,
        usage: Usage,
        error: str | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Emit the one last event."""
        if not self.is_finished:
            self.is_finished = True
            self.emit(Finished(reason, usage, error, trace))


@dataclass(eq=False, slots=True)
class LoadJob:
    """A model to bring into memory; `done` is called once, with the error if there is one."""

    entry: ModelEntry
    progress: Callable[[float], None]
    done: Callable[[BaseException | None], None]
    context: Context


@dataclass(eq=False, slots=True)
class UnloadJob:
    """A model to take out of memory once its answers have ended."""

    model: str
    done: Callable[[BaseException | None], None]
