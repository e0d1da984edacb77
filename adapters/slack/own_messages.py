"""The bot's own messages in a channel: each carries, as metadata, what it was posted for."""

from collections.abc import Sequence
from typing import Any, cast

from adapters.slack.handle import Handle
from adapters.slack.parse import Json, Own
from adapters.slack.web_api import WebApi
from bot.messages import ReplyView

REPLY = "fireside_reply"
PLACEHOLDER = "fireside_placeholder"
NOTICE = "fireside_notice"

MAX_READ = 200
"""Answers stand soon after their question; a search reads no further than this."""


def reply_metadata(handle: Handle, view: ReplyView, key: str | None) -> dict[str, Any]:
    """What a message of an answer carries: its question, which part it is, and its key."""
    payload = {"question": handle.question_id, "part": view.index, "key": key or ""}
    return {"event_type": REPLY, "event_payload": payload}


def placeholder_metadata(question_id: str) -> dict[str, Any]:
    """What the sign of work carries, until the answer takes its place."""
    return {"event_type": PLACEHOLDER, "event_payload": {"question": question_id}}


def notice_metadata() -> dict[str, Any]:
    """What is no answer carries."""
    return {"event_type": NOTICE, "event_payload": {}}


def is_answer_or_foreign(message: Json) -> bool:
    """Whether somebody said it: it is no sign of work and no notice of the bot's own."""
    return _kind(message) not in {PLACEHOLDER, NOTICE}


def part_index(key: str) -> int | None:
    """Which message of an answer a key names: the number after its last point."""
    _, point, index = key.rpartition(".")
    return int(index) if point and index.isdecimal() else None


async def after(api: WebApi, handle: Handle, own: Own) -> Sequence[Json]:
    """The bot's own messages since a question, in its thread or in its channel, oldest first."""
    messages = await _read(api, handle.channel_id, handle.thread_ts, handle.asked_ts)
    return [
        one for one in messages if one.get("user") == own.user_id or one.get("bot_id") == own.bot_id
    ]


async def replies_to(api: WebApi, handle: Handle, own: Own) -> Sequence[str]:
    """The timestamps of the messages of the answer to a question."""
    return [
        str(one["ts"])
        for one in await after(api, handle, own)
        if _payload(one).get("question") == handle.question_id
    ]


def find(messages: Sequence[Json], key: str, handle: Handle) -> str | None:
    """The timestamp of the message that was posted with a key.

    It may also be the sign of work that it was to replace, or a stream that had not come to its
    end: such a one has no metadata yet, and is known by its button.
    """
    for message in messages:
        if _kind(message) == REPLY and _payload(message).get("key") == key:
            return str(message["ts"])
    index = part_index(key)
    mine = [one for one in messages if _payload(one).get("question") == handle.question_id]
    parts = {_payload(one).get("part"): str(one["ts"]) for one in mine if _kind(one) == REPLY}
    if index is None or index in parts:
        return parts.get(index)
    if index != len(parts):
        return None
    signs = [one for one in mine if _kind(one) == PLACEHOLDER and index == 0]
    streams = [one for one in messages if _kind(one) is None and _has_button(one, handle)]
    return next((str(one["ts"]) for one in (*signs, *streams)), None)


def _has_button(message: Json, handle: Handle) -> bool:
    """Whether one of its buttons is about this question."""
    blocks = cast("Sequence[Json]", message.get("blocks") or ())
    elements = [element for block in blocks for element in block.get("elements") or ()]
    values = [str(element.get("value") or "") for element in elements]
    return any(handle.question_id in value.split(" ") for value in values)


def _kind(message: Json) -> str | None:
    return cast("Json", message.get("metadata") or {}).get("event_type")


def _payload(message: Json) -> Json:
    metadata = cast("Json", message.get("metadata") or {})
    return cast("Json", metadata.get("event_payload") or {})


async def _read(api: WebApi, channel_id: str, thread_ts: str | None, oldest: str) -> Sequence[Json]:
    """Messages after a time, oldest first."""
    given: dict[str, Any] = {"channel": channel_id, "oldest": oldest, "limit": MAX_READ}
    if thread_ts is None:
        answer = await api.call("conversations.history", include_all_metadata=True, **given)
    else:
        answer = await api.call(
            "conversations.replies", include_all_metadata=True, ts=thread_ts, **given
        )
    messages = cast("Sequence[Json]", answer.get("messages") or ())
    return sorted(messages, key=lambda one: float(one["ts"]))
