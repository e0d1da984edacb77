"""How stored events look: what was said apart from the rest, so that it can be blanked.

The text of a message and the arguments of a command stand in a column of their own; the JSON holds
everything else. `IncomingMessage.quoted` is not stored at all.
"""

import json
from dataclasses import replace
from functools import cache
from typing import Any, assert_never

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, RowMapping, and_

from bot.messages import Answerable, CommandInvoked, ConversationRef, IncomingMessage
from bot.store.ports.records import StoredMessage
from bot.store.sql.schema import message

MESSAGE = "message"
COMMAND = "command"
HEARD = "heard"


def event_columns(event: Answerable) -> dict[str, str]:
    """The columns `kind`, `text` and `event` of an event."""
    match event:
        case IncomingMessage():
            rest = _messages().dump_python(event, mode="json", exclude={"text", "quoted"})
            return {"kind": MESSAGE, "text": event.text, "event": json.dumps(rest)}
        case CommandInvoked():
            rest = _commands().dump_python(event, mode="json", exclude={"arguments"})
            arguments = json.dumps(dict(event.arguments))
            return {"kind": COMMAND, "text": arguments, "event": json.dumps(rest)}
        case _:
            assert_never(event)


def blank(event: Answerable) -> Answerable:
    """The event without anything that its author said."""
    match event:
        case IncomingMessage():
            return replace(event, text="", quoted=(), attachments=())
        case CommandInvoked():
            return replace(event, arguments={})
        case _:
            assert_never(event)


def stored_message(row: RowMapping) -> StoredMessage:
    """The message of a row of `message`. Raises pydantic's `ValidationError` on a damaged one."""
    rest: dict[str, Any] = json.loads(row["event"])
    event: Answerable
    if row["kind"] != COMMAND:
        event = _messages().validate_python({**rest, "text": row["text"]})
    else:
        event = _commands().validate_python({**rest, "arguments": json.loads(row["text"])})
    return StoredMessage(row["id"], row["account"], event, row["received_at"])


def has_id(account: str, event_id: str) -> ColumnElement[bool]:
    """Whether a row of `message` is the event that a platform knows by this id."""
    return and_(message.c.account == account, message.c.event_id == event_id)


def place_columns(conversation: ConversationRef) -> dict[str, str]:
    """The columns that say which conversation a row belongs to."""
    return {
        "platform": conversation.platform,
        "installation_id": conversation.installation_id,
        "channel_id": conversation.channel_id,
        "thread_id": conversation.thread_id or "",
    }


@cache
def _messages() -> TypeAdapter[IncomingMessage]:
    return TypeAdapter(IncomingMessage)


@cache
def _commands() -> TypeAdapter[CommandInvoked]:
    return TypeAdapter(CommandInvoked)
