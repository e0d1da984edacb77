"""What a member of the loopback workspace does: says, edits, deletes, calls, presses and picks."""

import json
import time
from collections.abc import Sequence
from typing import Any

from tests.slack_server.server import Envelope, SlackServer
from tests.slack_server.workspace import APP_ID, BOT_USER, CHANNEL, TEAM, Json

MENTION = f"<@{BOT_USER}>"
KINDS = {"C": "channel", "G": "group", "D": "im", "M": "mpim"}


class Member:
    """One person. `is_heard` is False for what Slack's events do not tell."""

    def __init__(self, server: SlackServer, user_id: str = "U0ANN") -> None:
        self.server = server
        self.user_id = user_id
        self.team = server.workspace.users[user_id]["team_id"]

    async def say(
        self,
        text: str,
        channel: str = CHANNEL,
        thread_ts: str | None = None,
        *,
        is_heard: bool = True,
        files: Sequence[Json] = (),
    ) -> str:
        """Write into a channel; a mention is told of twice, as Slack does."""
        message: Json = {"user": self.user_id, "text": text, "team": self.team}
        if thread_ts is not None:
            message["thread_ts"] = thread_ts
        if files:
            message |= {"subtype": "file_share", "files": list(files)}
        message = self.server.workspace.add(channel, message)
        if is_heard:
            for event in self.events(message, channel):
                await self.server.deliver("events_api", self.server.event(event))
        return str(message["ts"])

    def events(self, message: Json, channel: str) -> list[Json]:
        """What Slack tells of a message."""
        about = {"channel": channel, "channel_type": KINDS[channel[0]], "event_ts": message["ts"]}
        events = [message | about]
        if MENTION in message["text"] and not channel.startswith("D"):
            events.insert(0, message | about | {"type": "app_mention"})
        return events

    async def edit(self, channel: str, ts: str, text: str) -> Envelope:
        """Change a message."""
        before = dict(self.server.workspace.one(channel, ts))
        edited = {"user": self.user_id, "ts": self.server.workspace.next_ts()}
        after = before | {"text": text, "edited": edited}
        self.server.workspace.messages[channel][ts] = after
        return await self.changed(channel, before, after)

    async def changed(self, channel: str, before: Json, after: Json) -> Envelope:
        """What Slack tells of a change, by whomever."""
        event = {
            "type": "message",
            "subtype": "message_changed",
            "hidden": True,
            "channel": channel,
            "channel_type": KINDS[channel[0]],
            "message": after,
            "previous_message": before,
            "ts": self.server.workspace.next_ts(),
            "event_ts": self.server.workspace.next_ts(),
        }
        return await self.server.deliver("events_api", self.server.event(event))

    async def delete(self, channel: str, ts: str) -> Envelope:
        """Delete a message."""
        before = self.server.workspace.messages[channel].pop(ts)
        event = {
            "type": "message",
            "subtype": "message_deleted",
            "hidden": True,
            "channel": channel,
            "channel_type": KINDS[channel[0]],
            "deleted_ts": ts,
            "previous_message": before,
            "ts": self.server.workspace.next_ts(),
            "event_ts": self.server.workspace.next_ts(),
        }
        return await self.server.deliver("events_api", self.server.event(event))

    async def slash(self, command: str, text: str, channel: str = CHANNEL) -> Envelope:
        """Use a slash command."""
        payload = {
            "token": "verification",
            "team_id": self.team,
            "team_domain": "home",
            "channel_id": channel,
            "channel_name": "directmessage" if channel.startswith("D") else "general",
            "user_id": self.user_id,
            "user_name": "ann",
            "command": command,
            "text": text,
            "api_app_id": APP_ID,
            "response_url": self._response_url(),
            "trigger_id": self._trigger(),
        }
        return await self.server.deliver("slash_commands", payload)

    async def press(self, value: str, channel: str = CHANNEL) -> Envelope:
        """Press the button that begins with these words, under the latest message that has it."""
        message, element, block_id = self._button(value, channel)
        kind = element["type"]
        pressed = element
        if kind == "feedback_buttons":
            halves = (element["positive_button"], element["negative_button"])
            pressed = next(one for one in halves if one["value"].startswith(value))
        action = {
            "type": kind,
            "action_id": element["action_id"],
            "block_id": block_id,
            "value": pressed["value"],
            "action_ts": f"{time.time():.6f}",
        }
        return await self._act(action, channel, message)

    async def pick(self, block: Json, value: str, channel: str = CHANNEL) -> Envelope:
        """Pick a value from a list that was shown to this member."""
        element = block["elements"][0]
        option = {"text": {"type": "plain_text", "text": value}, "value": value}
        action = {
            "type": element["type"],
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "selected_option": option,
            "action_ts": f"{time.time():.6f}",
        }
        return await self._act(action, channel, {"ts": self.server.workspace.next_ts()})

    async def suggest(self, block: Json, typed: str) -> list[Json]:
        """What a list offers for the letters typed."""
        payload = {
            "type": "block_suggestion",
            "action_id": block["elements"][0]["action_id"],
            "block_id": block["block_id"],
            "value": typed,
            "team": {"id": self.team, "domain": "home"},
            "user": {"id": self.user_id, "team_id": self.team},
            "api_app_id": APP_ID,
            "container": {"type": "message", "channel_id": CHANNEL},
        }
        envelope = await self.server.deliver("interactive", payload)
        await envelope.answered.wait()
        assert envelope.answer is not None
        return list(envelope.answer["options"])

    async def choose(self, callback_id: str, channel: str, ts: str) -> Envelope:
        """Choose something in the menu of a message."""
        payload = {
            "type": "message_action",
            "callback_id": callback_id,
            "message_ts": ts,
            "message": self.server.workspace.one(channel, ts),
            "channel": {"id": channel, "name": "general"},
            "team": {"id": self.team, "domain": "home"},
            "user": {"id": self.user_id, "username": "ann", "team_id": self.team},
            "response_url": self._response_url(),
            "trigger_id": self._trigger(),
            "action_ts": f"{time.time():.6f}",
        }
        return await self.server.deliver("interactive", payload)

    async def _act(self, action: Json, channel: str, message: Json) -> Envelope:
        container = {"type": "message", "message_ts": message["ts"], "channel_id": channel}
        if thread_ts := message.get("thread_ts"):
            container["thread_ts"] = thread_ts
        payload: dict[str, Any] = {
            "type": "block_actions",
            "team": {"id": self.team, "domain": "home"},
            "user": {"id": self.user_id, "username": "ann", "team_id": self.team},
            "api_app_id": APP_ID,
            "container": container,
            "channel": {"id": channel, "name": "general"},
            "message": message,
            "actions": [action],
            "response_url": self._response_url(),
            "trigger_id": self._trigger(),
        }
        return await self.server.deliver("interactive", payload)

    def _button(self, value: str, channel: str) -> tuple[Json, Json, str]:
        for message in reversed(self.server.own_messages(channel)):
            for block in message.get("blocks") or ():
                for element in block.get("elements", ()):
                    if f'"{value}' in json.dumps(element):
                        return message, element, str(block.get("block_id", "b1"))
        raise AssertionError(f"there is no button {value}")

    def _response_url(self) -> str:
        return f"{self.server.address}/response/{self.server.workspace.number()}"

    def _trigger(self) -> str:
        return f"{self.server.workspace.number()}.{TEAM}.trigger"
