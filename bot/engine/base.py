"""The engine protocol: what the core asks of whatever generates text.

async with engine.stream(request) as stream:      # leaving the block cancels and frees
    async for event in stream: ...                # ..., then exactly one Finished
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

from bot.conversation import Turn
from bot.engine.run_mode import RunMode
from bot.messages import Author, ConversationRef


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How the next token is chosen, with the meanings that transformers gives these names.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0, `repetition_penalty` 1 and
    `no_repeat_ngram_size` 0 switch the respective filter off; the last two count the answer alone.
    `exponential_decay_length_penalty` is the length from which an answer's end grows likelier with
    each token, and by which factor. `best_of` answers are drawn and the one with the highest mean
    log-probability a token is given. `max_tokens` bounds the answer; with `stops_repetition` an
    answer ends where it only repeats itself (`bot.engine.text.repetition`).
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    exponential_decay_length_penalty: tuple[int, float] | None = None
    max_tokens: int = 512
    best_of: int = 1
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stops_repetition: bool = True


class Priority(IntEnum):
    """Who goes first among requests that wait: lower values do."""

    INTERACTIVE = 0
    BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Payer:
    """Whom an answer is charged to: a member, and with them the place where they ask.

    `limits` are those that hold for them there, by setting: what has no limit is not named.
    """

    conversation: ConversationRef
    author: Author
    limits: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One answer to generate.

    `turns` ends with the question, or with an answer of the model to go on with; a system turn, if
    any, comes first. With `is_raw` the last
    turn's text alone is fed, with no template of ours around it, as the lab's programs did.
    `cache_key` names the conversation whose KV cache may be reused; `fairness_key` is (workspace,
    user). Past `deadline` (UTC) generation ends with reason `time`. It is charged to `payer`. With
    `traced_tokens` the answer comes with a `Trace` of so many of its first tokens, where the engine
    can tell.
    """

    model: str
    turns: tuple[Turn, ...]
    sampling: SamplingParameters = field(default_factory=SamplingParameters)
    cache_key: str = ""
    fairness_key: tuple[str, str] = ("", "")
    priority: Priority = Priority.INTERACTIVE
    deadline: datetime | None = None
    is_raw: bool = False
    payer: Payer | None = None
    traced_tokens: int = 0


class FinishReason(StrEnum):
    """Why generation ended."""

    STOP = "stop"
    LENGTH = "length"
    TIME = "time"
    REPETITION = "repetition"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took: tokens, seconds, and what was left out to fit the context window:
    `dropped_turns` of the oldest, `cut_tokens` of the question's beginning.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    dropped_turns: int = 0
    time_to_first_token_s: float | None = None
    tokens_per_s: float | None = None
    cut_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Others are answered first: the `position`-th to begin (the next is 1), expected to begin in
    so many seconds, None where no speed was measured yet. Comes again when the position changes.
    """

    position: int
    expected_s: float | None


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is being loaded before the answer begins; `fraction` is between 0 and 1."""

    model: str
    fraction: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer: whole characters, no special token, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's reasoning, which is not part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class TracedToken:
    """A token of an answer and the likeliest ones in its place, the likeliest first, with their
    probabilities: the model's own, before any filter or temperature. The chosen one is among them.
    """

    chosen: str
    options: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """What a model was given, special tokens and all, and how its answer began."""

    prompt: str = field(repr=False)
    tokens: tuple[TracedToken, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The one last event. With reason `error`, `error` is a text that may be shown."""

    reason: FinishReason
    usage: Usage
    error: str | None = None
    trace: Trace | None = None


EngineEvent = Waiting | Loading | TextDelta | ReasoningDelta | Finished


class ModelState(StrEnum):
    """Where a model stands in the engine's memory."""

    LOADING = "loading"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class ResidentModel:
    """A model in memory (or on its way): bytes of weights and of cache. `mode` is how it runs here,
    None while it loads and for a model that a server runs.
    """

    name: str
    state: ModelState
    weight_bytes: int
    cache_bytes: int
    mode: RunMode | None = None


class Engine(Protocol):
    """Generates text. Errors in an answer come as `Finished(ERROR)`, never as a hang."""

    async def start(self) -> None:
        """Make ready: import what is heavy. Raises `EngineUnavailable`."""
        ...

    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None:
        """Bring a model into memory; one load however many ask. Raises `ModelError`."""
        ...

    async def unload(self, model: str) -> None:
        """Take a model out of memory once its running answers have ended."""
        ...

    def resident(self) -> Sequence[ResidentModel]:
        """The models in memory."""
        ...

    def stream(
        self, request: GenerationRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        """Generate one answer; leaving the block stops the work within one decode step."""
        ...

    async def forget(self, cache_key: str) -> None:
        """Drop what is kept of a conversation and of those below it ("KEY/…")."""
        ...

    async def close(self) -> None:
        """Cancel what runs, free everything and end the worker."""
        ...
