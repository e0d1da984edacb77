"""What one event of a streamed answer says.

Servers that call themselves compatible differ in what OpenAI's reference leaves open, and in what
it does not (https://platform.openai.com/docs/api-reference/chat-streaming). What an answer does not
need, such as its usage, is never a reason to give it up.
"""

from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ValidationError

from bot.engine.remote.faults import Fault, ServerFault, fault_of

END = "[DONE]"
"""The last event of a stream, in place of JSON."""


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What the server counted; `cached` is a part of `prompt`."""

    prompt: int
    generated: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a streamed answer."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    counts: TokenCounts | None = None
    is_last: bool = False
    """Whether the server says that nothing follows."""


def read_chunk(data: str) -> Chunk:
    """An event's chunk. Raises `ServerFault` where it is none, or an error."""
    if data.startswith(END):
        return Chunk(is_last=True)
    try:
        event = _Event.model_validate_json(data)
    except ValidationError as error:
        raise ServerFault(Fault.BROKEN, "an event that is no chunk of an answer") from error
    if event.error:
        raise _told_within(event.error)
    choice = event.choices[0] if event.choices else _Choice()
    delta = choice.delta or _Delta()
    return Chunk(
        text=delta.content,
        reasoning=delta.reasoning_content or delta.reasoning,
        finish_reason=choice.finish_reason or None,
        counts=_counts(event.usage),
    )


def _text(value: object) -> object:
    """Text that comes whole, or in parts, each with its own under "text" or "content"."""
    match value:
        case None:
            return ""
        case list():
            return "".join(str(_text(part)) for part in cast("list[object]", value))
        case dict():
            parts = cast("dict[str, object]", value)
            return _text(parts.get("text") or parts.get("content"))
        case _:
            return value


Text = Annotated[str, BeforeValidator(_text)]


class _Delta(BaseModel):
    """Reasoning is in a field of its own, which has two names."""

    content: Text = ""
    reasoning_content: Text = ""
    reasoning: Text = ""


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Event(BaseModel):
    """`chat.completion.chunk`, or an error in its place."""

    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


class _PromptDetails(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _PromptDetails | None = None


def _counts(usage: object) -> TokenCounts | None:
    """None where the server did not count, or counted in a way of its own."""
    try:
        counted = _Usage.model_validate(usage)
    except ValidationError:
        return None
    details = counted.prompt_tokens_details or _PromptDetails()
    cached = details.cached_tokens or 0
    return TokenCounts(counted.prompt_tokens, counted.completion_tokens, cached)


def _told_within(error: object) -> ServerFault:
    """An error in a stream whose status was 200: what the same error is as a status."""
    whole = str(error)
    said = cast("dict[str, object]", error if isinstance(error, dict) else {})
    code, complaint = said.get("code"), str(said.get("message", whole))
    if not isinstance(code, int) or code < 400:
        return ServerFault(Fault.FAILED, "an error within the stream", complaint=complaint)
    detail = f"status {code} within the stream"
    return ServerFault(fault_of(code, complaint), detail, status=code, complaint=complaint)
