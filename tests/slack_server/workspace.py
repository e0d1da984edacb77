"""The workspace behind the loopback Slack: people, channels, messages, streams and their rules."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BOT_USER, BOT_ID, TEAM, APP_ID = "U0FIRESIDE", "B0FIRESIDE", "T0HOME", "A0FIRESIDE"
CHANNEL, DIRECT, PRIVATE, ARCHIVED = "C0GENERAL", "D0ANN", "G0SECRET", "C0OLD"
OTHER_TEAM = "T0OTHER"

MAX_TEXT, MAX_UPDATE, MAX_MARKDOWN, MAX_SECTION, MAX_BLOCKS = 40_000, 4_000, 12_000, 3_000, 50
STREAM_LIFE_S = 300.0

BLOCK_TYPES = frozenset(
    {"markdown", "section", "context", "actions", "context_actions", "header", "divider"}
)

Json = dict[str, Any]


class RefusedError(Exception):
    """The Web API answers `ok: false` with this error."""


@dataclass
class Stream:
    """A message that is being streamed."""

    channel: str
    began_at: float
    is_open: bool = True


class Workspace:
    """Stateful, as far as the bot can see it. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.messages: dict[str, dict[str, Json]] = {}
        self.streams: dict[str, Stream] = {}
        self.statuses: dict[tuple[str, str], str] = {}
        self.users: dict[str, Json] = {
            BOT_USER: person(BOT_USER, "fireside") | {"is_bot": True},
            "U0ANN": person("U0ANN", "ann"),
            "U0BEN": person("U0BEN", "ben"),
            "U0ADMIN": person("U0ADMIN", "olga") | {"is_admin": True},
            "U0OWNER": person("U0OWNER", "otto") | {"is_owner": True, "is_admin": True},
            "U0GUEST": person("U0GUEST", "gus") | {"is_restricted": True},
            "U0STRANGER": person("U0STRANGER", "sam", OTHER_TEAM) | {"is_stranger": True},
        }
        self.channels: dict[str, Json] = {
            CHANNEL: {"id": CHANNEL, "name": "general", "is_member": True, "creator": "U0BEN"},
            PRIVATE: {"id": PRIVATE, "name": "secret", "is_member": False, "creator": "U0BEN"},
            ARCHIVED: {"id": ARCHIVED, "name": "old", "is_member": True, "is_archived": True},
            DIRECT: {"id": DIRECT, "is_im": True, "is_member": True, "user": "U0ANN"},
        }
        self.groups: dict[str, list[str]] = {}
        self._last = 0.0
        self._numbers = itertools.count(1)

    def number(self) -> int:
        """A number that was not given before."""
        return next(self._numbers)

    def next_ts(self) -> str:
        """A timestamp later than every other."""
        self._last = max(self.clock(), self._last + 0.000_1)
        return f"{self._last:.6f}"

    def add_channel(self, channel_id: str) -> None:
        """One more channel that the bot is in."""
        self.channels[channel_id] = {
            "id": channel_id,
            "name": channel_id.lower(),
            "is_member": True,
        }

    def writable(self, channel_id: str) -> None:
        """Raises for a channel that the bot may not write to."""
        if channel_id in self.users:
            return
        channel = self.channels.get(channel_id)
        if channel is None or (channel_id.startswith("G") and not channel["is_member"]):
            raise RefusedError("channel_not_found")
        if channel.get("is_archived"):
            raise RefusedError("is_archived")

    def add(self, channel_id: str, message: Json) -> Json:
        """A message that is there from now on."""
        ts = self.next_ts()
        message = {"type": "message", **message, "ts": ts}
        self.messages.setdefault(channel_id, {})[ts] = message
        if thread_ts := message.get("thread_ts"):
            parent = self.messages[channel_id].get(thread_ts)
            if parent is not None:
                parent["reply_count"] = parent.get("reply_count", 0) + 1
                parent["latest_reply"] = ts
                parent.setdefault("thread_ts", thread_ts)
            self.statuses.pop((channel_id, thread_ts), None)
        return message

    def one(self, channel_id: str, ts: str) -> Json:
        """A message. Raises where there is none."""
        message = self.messages.get(channel_id, {}).get(ts)
        if message is None:
            raise RefusedError("message_not_found")
        return message

    def own(self, channel_id: str, ts: str) -> Json:
        """A message of the bot, to be changed."""
        message = self.one(channel_id, ts)
        if message.get("bot_id") != BOT_ID:
            raise RefusedError("cant_update_message")
        return message

    def stream(self, ts: str) -> Stream:
        """An open stream. Raises where it has ended, or died of age."""
        stream = self.streams.get(ts)
        if stream is not None and self.clock() - stream.began_at >= STREAM_LIFE_S:
            stream.is_open = False
        if stream is None or not stream.is_open:
            raise RefusedError("message_not_in_streaming_state")
        return stream

    def is_streaming(self, ts: str) -> bool:
        """Whether a message is being streamed."""
        try:
            return self.stream(ts).is_open
        except RefusedError:
            return False

    def thread(self, channel_id: str, thread_ts: str) -> list[Json]:
        """A thread with its parent, oldest first."""
        found = [
            one
            for one in self.messages.get(channel_id, {}).values()
            if one.get("thread_ts") == thread_ts or one["ts"] == thread_ts
        ]
        if not found:
            raise RefusedError("thread_not_found")
        return sorted(found, key=lambda one: float(one["ts"]))

    def top(self, channel_id: str) -> list[Json]:
        """What stands in the channel itself, newest first."""
        if channel_id not in self.channels:
            raise RefusedError("channel_not_found")
        found = [
            one
            for one in self.messages.get(channel_id, {}).values()
            if one.get("thread_ts") in (None, one["ts"])
        ]
        return sorted(found, key=lambda one: -float(one["ts"]))


def person(user_id: str, name: str, team_id: str = TEAM) -> Json:
    """A member."""
    return {
        "id": user_id,
        "name": name,
        "team_id": team_id,
        "is_bot": False,
        "profile": {"display_name": name.title(), "real_name": name.title()},
    }


def check_blocks(blocks: Sequence[Mapping[str, Any]]) -> None:
    """Raises for blocks that Slack would not take."""
    if len(blocks) > MAX_BLOCKS:
        raise RefusedError("invalid_blocks")
    if any(block["type"] not in BLOCK_TYPES for block in blocks):
        raise RefusedError("invalid_blocks")
    markdown = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    sections = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    if markdown > MAX_MARKDOWN or any(len(text) > MAX_SECTION for text in sections):
        raise RefusedError("msg_too_long")
    elements = [element for block in blocks for element in block.get("elements", ())]
    ids = [element["action_id"] for element in elements if "action_id" in element]
    if len(ids) != len(set(ids)) or any(len(one) > 255 for one in ids):
        raise RefusedError("invalid_blocks")


def visible(message: Mapping[str, Any]) -> str:
    """What a member reads in a message, without its footer and its buttons."""
    blocks = message.get("blocks") or ()
    parts = [block["text"] for block in blocks if block["type"] == "markdown"]
    parts += [block["text"]["text"] for block in blocks if block["type"] == "section"]
    return "\n".join(parts) if parts else str(message.get("text", ""))
