"""A payload of Slack becomes values of ours: who, where and what.

It asks nobody and sends nothing; names and what is quoted are looked up in `people.py` and
`reading.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from adapters.slack.handle import Handle
from bot.messages import ConversationRef

PLATFORM = "slack"
DIRECT_TYPE = "im"

ANSWERED_SUBTYPES = frozenset({None, "file_share", "me_message", "thread_broadcast"})
"""What members write; joins, topics, pins and their like are no questions."""

SLACKBOT = "USLACKBOT"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Own:
    """Who the bot is, as `auth.test` says: its user, bot id, name, and workspace with address."""

    user_id: str
    bot_id: str
    name: str
    team_id: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A message that somebody wrote. Times are Slack's: seconds, six digits after the point."""

    team_id: str
    channel_id: str
    ts: str
    user_id: str
    user_team_id: str
    text: str
    thread_ts: str | None = None
    is_direct: bool = False
    files: Sequence[Json] = ()

    @property
    def id(self) -> str:
        """The same for a mention that arrives as `app_mention` and as `message`."""
        return post_id(self.channel_id, self.ts)

    @property
    def sent_at(self) -> datetime:
        """When it was written."""
        return time_of(self.ts)


def post_id(channel_id: str, ts: str) -> str:
    """The id of a message: unique in a workspace, as a timestamp is unique in its channel."""
    return f"{channel_id}:{ts}"


def place_of(question_id: str) -> tuple[str, str]:
    """The channel and the timestamp of an id."""
    channel_id, _colon, ts = question_id.partition(":")
    return channel_id, ts


def time_of(ts: str) -> datetime:
    """A timestamp of Slack as a time."""
    return datetime.fromtimestamp(float(ts), UTC)


def installation_of(body: Json, own: Own) -> str:
    """The workspace where the bot is installed, which need not be the sender's."""
    authorizations = cast("Sequence[Json]", body.get("authorizations") or ())
    first: Json = authorizations[0] if authorizations else {}
    return str(first.get("team_id") or first.get("enterprise_id") or own.team_id)


def post_of(event: Json, team_id: str) -> Post | None:
    """A member's message; None for bots, for Slack's own lines and for what has no author."""
    if event.get("subtype") not in ANSWERED_SUBTYPES or event.get("hidden"):
        return None
    if event.get("bot_id") or event.get("bot_profile") or not event.get("user"):
        return None
    if event["user"] == SLACKBOT:
        return None
    channel_id, thread_ts = str(event["channel"]), event.get("thread_ts")
    return Post(
        team_id=team_id,
        channel_id=channel_id,
        ts=str(event["ts"]),
        user_id=str(event["user"]),
        user_team_id=str(event.get("user_team") or event.get("team") or team_id),
        text=str(event.get("text") or ""),
        # A message that a thread began with later stands in its channel all the same.
        thread_ts=None if thread_ts == event["ts"] else thread_ts,
        is_direct=event.get("channel_type") == DIRECT_TYPE or channel_id.startswith("D"),
        files=cast("Sequence[Json]", event.get("files") or ()),
    )


def conversation_of(post: Post, *, reply_in_thread: bool) -> ConversationRef:
    """The conversation of a message: its thread, or the one that its answer begins."""
    thread_id = thread_of(post, reply_in_thread=reply_in_thread)
    return ConversationRef(PLATFORM, post.team_id, post.channel_id, thread_id, post.is_direct)


def thread_of(post: Post, *, reply_in_thread: bool) -> str | None:
    """The thread that the answer goes to; direct messages have one only in the panel."""
    if post.thread_ts is not None:
        return post.thread_ts
    return post.ts if reply_in_thread and not post.is_direct else None


def handle_of_post(post: Post, *, reply_in_thread: bool) -> Handle:
    """Where the answer to a message goes."""
    return Handle(
        channel_id=post.channel_id,
        question_id=post.id,
        asked_ts=post.ts,
        asker_id=post.user_id,
        team_id=post.user_team_id,
        thread_ts=thread_of(post, reply_in_thread=reply_in_thread),
        is_direct=post.is_direct,
    )


def is_edit(event: Json) -> bool:
    """Whether a `message_changed` is an author's edit, and not an unfurled link."""
    new = cast("Json", event.get("message") or {})
    old = cast("Json", event.get("previous_message") or {})
    return bool(new.get("edited")) and new.get("text") != old.get("text")


def is_tombstone(event: Json) -> bool:
    """Whether a `message_changed` tells of a deletion: replies keep the message's place."""
    return cast("Json", event.get("message") or {}).get("subtype") == "tombstone"
