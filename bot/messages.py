"""The common message model: what adapters hand to the core and what they get back.

Values only: no SDK object crosses the adapter's edge, and nothing here does any work.
Times are timezone-aware UTC datetimes; text is CommonMark with mentions resolved to names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ConversationRef:
    """Where people talk: the key of queue, settings and logs.

    `installation_id` is the bot's own workspace (Discord guild or "dm", Slack team), not the
    sender's. `is_direct` says that only one person and the bot are there.
    """

    platform: str
    installation_id: str
    channel_id: str
    thread_id: str | None = None
    is_direct: bool = False


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote a message. `can_manage` is the platform's word on managing this channel; `roles`
    are the ids of the roles that they have there, where the platform tells.

    `lacks` is None where those are all of them. Where some could not be looked up, it has the roles
    that they are known not to have: whether they have any other is not known.
    """

    id: str
    name: str
    is_bot: bool = False
    can_manage: bool = False
    roles: tuple[str, ...] = ()
    lacks: tuple[str, ...] | None = None


class Addressed(StrEnum):
    """Why the bot should answer a message."""

    DIRECT = "direct"
    MENTION = "mention"
    REPLY = "reply"
    THREAD = "thread"
    COMMAND = "command"
    CHANNEL = "channel"
    OVERHEARD = "overheard"
    """It should not: the channel's admins let it listen, so that later questions see this."""


@dataclass(frozen=True, slots=True)
class ReplyTarget:
    """Where an answer goes: made by the adapter, opaque to the core, and kept in the store.

    After `expires_at` the adapter's own `fallback` handle is used instead.
    """

    handle: str
    expires_at: datetime | None = None
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the asker; `text` is its decoded content where it is text within the cap."""

    name: str
    media_type: str
    size_bytes: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Quoted:
    """A message read live as context (a replied-to message, a thread so far); never stored."""

    author: Author
    text: str
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class PastMessage:
    """A message of a conversation read live; never stored. `link` leads a member to it."""

    id: str
    author: Author
    text: str
    sent_at: datetime
    link: str | None = None
    is_own: bool = False


class MessageReader(Protocol):
    """Reads what was said in a conversation, as far as the bot may."""

    async def recent(
        self,
        conversation: ConversationRef,
        limit: int,
        since: datetime | None = None,
        since_id: str | None = None,
    ) -> Sequence[PastMessage]:
        """The latest messages there, everybody's, oldest first; of more than `limit` the newest.

        With `since` those sent then or later, with `since_id` that message and those after it.
        Raises `bot.errors.PlatformError`; `MessageGone` where `since_id` is no message's.
        """
        ...


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message that the bot should answer. `id` is the platform's, unique in its account.

    `replies_to` is the platform's id of the message that it is a reply to.
    """

    id: str
    conversation: ConversationRef
    author: Author
    text: str
    addressed: Addressed
    sent_at: datetime
    target: ReplyTarget
    quoted: tuple[Quoted, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    replies_to: str | None = None


@dataclass(frozen=True, slots=True)
class CommandInvoked:
    """A command with its raw arguments by parameter name, as the member gave them.

    `is_hidden` says that others do not see those: it was no message but a slash command.
    """

    id: str
    conversation: ConversationRef
    author: Author
    name: str
    arguments: Mapping[str, str]
    sent_at: datetime
    target: ReplyTarget
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """The author changed a message that the bot has seen."""

    id: str
    conversation: ConversationRef
    text: str
    edited_at: datetime


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    """The author deleted a message that the bot has seen."""

    id: str
    conversation: ConversationRef


class Action(StrEnum):
    """What a button under a reply can ask for; what it says on it stands in `bot.reply.buttons`.

    KEEP lets the question and its answer be kept with a rating. VOTE_A to VOTE_D prefer one answer
    of a comparison, VOTE_TIE none of them.
    """

    STOP = "stop"
    RETRY = "retry"
    GOOD = "good"
    BAD = "bad"
    KEEP = "keep"
    REPORT = "report"
    VOTE_A = "vote-a"
    VOTE_B = "vote-b"
    VOTE_C = "vote-c"
    VOTE_D = "vote-d"
    VOTE_TIE = "vote-tie"


class Buttons(StrEnum):
    """What stands under an answer: everything, no thumbs, or nothing."""

    FULL = "full"
    MINIMAL = "minimal"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ActionInvoked:
    """A member pressed a button; `message_id` is the question whose reply carries it.

    With a Retry, `quoted` is what the question is about, read live once more.
    """

    id: str
    conversation: ConversationRef
    author: Author
    action: Action
    message_id: str
    quoted: tuple[Quoted, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """The bot was removed from an installation: what is stored of it is marked for purging."""

    platform: str
    installation_id: str


Inbound = (
    IncomingMessage | CommandInvoked | MessageEdited | MessageDeleted | ActionInvoked | Removed
)
"""Every event an adapter submits."""

Answerable = IncomingMessage | CommandInvoked
"""The events that are stored and answered exactly once."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How an answer came about: the model's name, how long it took and the engine's speed."""

    model: str
    seconds: float
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that goes with an answer: a PNG, and in words what it shows."""

    name: str
    png: bytes = field(repr=False)
    description: str


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that goes with an answer, as text."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplyView:
    """One message of a reply as it should look now.

    `text` is CommonMark within the adapter's limit, code fences closed. Its first `stable_chars`
    characters never change again: an append-only platform shows just those. `is_complete` says
    that this part will not change any more, `is_last` that the whole answer ends with it. `footer`
    is a line that belongs under it; `figures` may be shown with it. `document` is a very long
    answer as a whole, in Markdown, of which `text` is the beginning. `picture` goes with it where
    the platform has pictures; the text says all of it too. `file` goes with it where it has files.
    One that `is_plain` was refused as it was: it is shown as text and nothing else.
    """

    text: str
    index: int = 0
    stable_chars: int = 0
    is_complete: bool = False
    is_last: bool = False
    is_private: bool = False
    is_error: bool = False
    footer: str | None = None
    figures: Figures | None = None
    document: str | None = None
    actions: tuple[Action, ...] = field(default=())
    picture: Picture | None = None
    file: TextFile | None = None
    is_plain: bool = False
