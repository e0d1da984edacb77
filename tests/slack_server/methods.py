"""The methods of the loopback Web API: their parameters, scopes and effects; all there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.slack_server.workspace import (
    BOT_ID,
    BOT_USER,
    MAX_MARKDOWN,
    MAX_TEXT,
    MAX_UPDATE,
    TEAM,
    Json,
    RefusedError,
    Stream,
    Workspace,
    check_blocks,
)

Arguments = Mapping[str, Any]

_POST = "channel text blocks thread_ts metadata unfurl_links unfurl_media"
_HISTORY = "channel oldest latest inclusive limit cursor include_all_metadata"


@dataclass(frozen=True)
class Spec:
    """What a method takes: required and other parameters, and one of these scopes."""

    required: str
    optional: str = ""
    scopes: str = ""

    def check(self, arguments: Arguments) -> None:
        """Raises for a parameter that is missing."""
        if any(name not in arguments for name in self.required.split()):
            raise RefusedError("invalid_arguments")

    def unknown(self, arguments: Arguments) -> set[str]:
        """The parameters that Slack does not know."""
        return set(arguments) - set(self.required.split()) - set(self.optional.split()) - {"token"}


@dataclass
class Upload:
    """A file of the bot: announced, then sent, then shared."""

    name: str
    length: int
    data: bytes = b""
    shared_in: tuple[str, str] | None = None


SPECS: Mapping[str, Spec] = {
    "apps.connections.open": Spec(""),
    "auth.test": Spec(""),
    "assistant.threads.setStatus": Spec(
        "channel_id thread_ts status", "loading_messages", "chat:write"
    ),
    "assistant.threads.setSuggestedPrompts": Spec(
        "channel_id thread_ts prompts", "title", "assistant:write"
    ),
    "assistant.threads.setTitle": Spec("channel_id thread_ts title", "", "assistant:write"),
    "chat.postMessage": Spec("channel", _POST, "chat:write"),
    "chat.postEphemeral": Spec("channel user", "text blocks thread_ts", "chat:write"),
    "chat.update": Spec("channel ts", "text blocks metadata", "chat:write"),
    "chat.delete": Spec("channel ts", "", "chat:write"),
    "chat.startStream": Spec(
        "channel",
        "thread_ts markdown_text chunks recipient_user_id recipient_team_id",
        "chat:write",
    ),
    "chat.appendStream": Spec("channel ts", "markdown_text chunks", "chat:write"),
    "chat.stopStream": Spec("channel ts", "markdown_text chunks blocks metadata", "chat:write"),
    "conversations.history": Spec("channel", _HISTORY, "channels:history"),
    "conversations.replies": Spec("channel ts", _HISTORY, "channels:history"),
    "conversations.info": Spec("channel", "", "channels:read"),
    "conversations.open": Spec("users", "channel return_im prevent_creation", "im:write"),
    "files.getUploadURLExternal": Spec("filename length", "alt_txt", "files:write"),
    "files.completeUploadExternal": Spec(
        "files", "channel_id thread_ts initial_comment", "files:write"
    ),
    "files.delete": Spec("file", "", "files:write"),
    "usergroups.list": Spec(
        "", "include_users include_count include_disabled team_id", "usergroups:read"
    ),
    "users.conversations": Spec(
        "", "types exclude_archived limit cursor user team_id", "channels:read"
    ),
    "users.info": Spec("user", "", "users:read"),
    "views.publish": Spec("user_id view", "hash", ""),
}

SCOPES_BY_KIND = {"C": "channels", "G": "groups", "D": "im", "M": "mpim"}


def scope_needed(method: str, arguments: Arguments) -> str:
    """The scope that a call needs; reading needs that of the channel's kind."""
    scope = SPECS[method].scopes
    if scope.startswith("channels:") and "channel" in arguments:
        kind = SCOPES_BY_KIND[str(arguments["channel"])[0]]
        return scope.replace("channels", kind)
    return scope


class Methods:
    """Does what a call asks for. `ephemeral` and `views` are what single people see."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.ephemeral: list[Json] = []
        self.views: dict[str, Json] = {}
        self.titles: list[Json] = []
        self.prompts: list[Json] = []
        self.status_log: list[Json] = []
        self.uploads: dict[str, Upload] = {}
        self.address = ""
        self.has_streams = True
        self.has_status = True
        self._known: Mapping[str, Callable[[Arguments], Json]] = {
            "auth.test": self._auth_test,
            "assistant.threads.setStatus": self._set_status,
            "assistant.threads.setSuggestedPrompts": self._set_prompts,
            "assistant.threads.setTitle": self._set_title,
            "chat.postMessage": self._post,
            "chat.postEphemeral": self._post_ephemeral,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.startStream": self._start_stream,
            "chat.appendStream": self._append_stream,
            "chat.stopStream": self._stop_stream,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "conversations.info": self._info,
            "conversations.open": self._open,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete_upload,
            "files.delete": self._delete_file,
            "usergroups.list": self._groups,
            "users.conversations": self._conversations,
            "users.info": self._user,
            "views.publish": self._publish,
        }

    def call(self, method: str, arguments: Arguments) -> Json:
        """The answer to a call, without `ok`. Raises `RefusedError`."""
        SPECS[method].check(arguments)
        return self._known[method](arguments)

    def _auth_test(self, given: Arguments) -> Json:
        del given
        about = {"user": "fireside", "url": "https://home.example.org/"}
        return {"user_id": BOT_USER, "bot_id": BOT_ID, "team_id": TEAM, **about}

    def _set_status(self, given: Arguments) -> Json:
        if not self.has_status:
            raise RefusedError("missing_scope")
        place = (given["channel_id"], given["thread_ts"])
        self.status_log.append(dict(given))
        if given["status"]:
            self.workspace.statuses[place] = given["status"]
        else:
            self.workspace.statuses.pop(place, None)
        return {}

    def _set_prompts(self, given: Arguments) -> Json:
        if len(given["prompts"]) > 4:
            raise RefusedError("invalid_arguments")
        self.prompts.append(dict(given))
        return {}

    def _set_title(self, given: Arguments) -> Json:
        self.titles.append(dict(given))
        return {}

    def _post(self, given: Arguments) -> Json:
        channel = str(given["channel"])
        self.workspace.writable(channel)
        if not given.get("text") and not given.get("blocks"):
            raise RefusedError("no_text")
        check_blocks(given.get("blocks") or ())
        metadata = given.get("metadata")
        if metadata is not None and set(metadata) != {"event_type", "event_payload"}:
            raise RefusedError("invalid_metadata_format")
        kept = ("thread_ts", "blocks", "metadata")
        message = {name: given[name] for name in kept if given.get(name) is not None}
        text = str(given.get("text", ""))[:MAX_TEXT]
        message |= {"text": text, "user": BOT_USER, "bot_id": BOT_ID}
        return {"ts": self.workspace.add(channel, message)["ts"], "channel": channel}

    def _post_ephemeral(self, given: Arguments) -> Json:
        self.workspace.writable(str(given["channel"]))
        check_blocks(given.get("blocks") or ())
        self.ephemeral.append(dict(given))
        return {"message_ts": self.workspace.next_ts()}

    def _update(self, given: Arguments) -> Json:
        channel, ts = str(given["channel"]), str(given["ts"])
        message = self.workspace.own(channel, ts)
        if self.workspace.is_streaming(ts):
            raise RefusedError("streaming_state_conflict")
        if len(str(given.get("text", ""))) > MAX_UPDATE:
            raise RefusedError("msg_too_long")
        check_blocks(given.get("blocks") or ())
        message |= {"text": given.get("text", message["text"]), "blocks": given.get("blocks", [])}
        if "metadata" in given:
            message["metadata"] = given["metadata"]
        message["edited"] = {"user": BOT_USER, "ts": self.workspace.next_ts()}
        return {"ts": ts, "channel": channel}

    def _delete(self, given: Arguments) -> Json:
        channel, ts = str(given["channel"]), str(given["ts"])
        self.workspace.own(channel, ts)
        del self.workspace.messages[channel][ts]
        return {}

    def _start_stream(self, given: Arguments) -> Json:
        if not self.has_streams:
            raise RefusedError("channel_type_not_supported")
        channel = str(given["channel"])
        self.workspace.writable(channel)
        if not channel.startswith("D"):
            for name in ("recipient_user_id", "recipient_team_id"):
                if not given.get(name):
                    raise RefusedError(f"missing_{name}")
        text, blocks = _streamed(given)
        message = {"thread_ts": given.get("thread_ts"), "text": text, "blocks": blocks}
        message |= {"user": BOT_USER, "bot_id": BOT_ID}
        ts = self.workspace.add(channel, message)["ts"]
        self.workspace.streams[ts] = Stream(channel, self.workspace.clock())
        return {"ts": ts, "channel": channel}

    def _append_stream(self, given: Arguments) -> Json:
        message = self.workspace.own(str(given["channel"]), str(given["ts"]))
        self.workspace.stream(str(given["ts"]))
        message["text"] += _streamed(given)[0]
        return {}

    def _stop_stream(self, given: Arguments) -> Json:
        message = self.workspace.own(str(given["channel"]), str(given["ts"]))
        self.workspace.stream(str(given["ts"])).is_open = False
        message["text"] += _streamed(given)[0]
        if given.get("metadata") is not None:
            message["metadata"] = given["metadata"]
        return {}

    def _history(self, given: Arguments) -> Json:
        found = _between(self.workspace.top(str(given["channel"])), given)
        return _page(found, given)

    def _replies(self, given: Arguments) -> Json:
        thread = self.workspace.thread(str(given["channel"]), str(given["ts"]))
        parent, *replies = thread
        return _page([parent, *_between(replies, given)], given)

    def _info(self, given: Arguments) -> Json:
        channel = self.workspace.channels.get(str(given["channel"]))
        if channel is None:
            raise RefusedError("channel_not_found")
        return {"channel": channel}

    def _open(self, given: Arguments) -> Json:
        """The direct conversation with one member, which is there from now on."""
        user_id = str(given["users"])
        if user_id not in self.workspace.users:
            raise RefusedError("user_not_found")
        known = self.workspace.channels.values()
        found = next((one for one in known if one.get("user") == user_id), None)
        if found is None:
            channel_id = f"D{user_id[1:]}"
            found = {"id": channel_id, "is_im": True, "is_member": True, "user": user_id}
            self.workspace.channels[channel_id] = found
        return {"channel": {"id": found["id"]}}

    def _groups(self, given: Arguments) -> Json:
        """The user groups, with who is in them where that was asked for."""
        with_users = str(given.get("include_users", "")).lower() in {"1", "true"}
        groups = [
            {"id": group_id, "handle": group_id.lower()} | ({"users": users} if with_users else {})
            for group_id, users in self.workspace.groups.items()
        ]
        return {"usergroups": groups}

    def _upload_url(self, given: Arguments) -> Json:
        file_id = f"F{self.workspace.number():08}"
        self.uploads[file_id] = Upload(str(given["filename"]), int(given["length"]))
        return {"upload_url": f"{self.address}/upload/{file_id}", "file_id": file_id}

    def _complete_upload(self, given: Arguments) -> Json:
        """The file appears where it is shared, if all of it came."""
        files = [(str(one["id"]), self.uploads[one["id"]]) for one in given["files"]]
        if "channel_id" in given:
            self.workspace.writable(str(given["channel_id"]))
        if any(len(upload.data) != upload.length for _id, upload in files):
            raise RefusedError("file_upload_size_mismatch")
        for _id, upload in files:
            upload.shared_in = (str(given.get("channel_id")), str(given.get("thread_ts")))
        return {"files": [{"id": file_id} for file_id, _upload in files]}

    def _delete_file(self, given: Arguments) -> Json:
        if self.uploads.pop(str(given["file"]), None) is None:
            raise RefusedError("file_not_found")
        return {}

    def _conversations(self, given: Arguments) -> Json:
        types = str(given.get("types", "public_channel")).split(",")
        kinds = {"public_channel": "C", "private_channel": "G", "im": "D", "mpim": "M"}
        wanted = {kinds[one] for one in types}
        found = [
            one
            for one in self.workspace.channels.values()
            if one["is_member"] and one["id"][0] in wanted and not one.get("is_archived")
        ]
        return {"channels": found, "response_metadata": {"next_cursor": ""}}

    def _user(self, given: Arguments) -> Json:
        user = self.workspace.users.get(str(given["user"]))
        if user is None:
            raise RefusedError("user_not_found")
        return {"user": user}

    def _publish(self, given: Arguments) -> Json:
        check_blocks(given["view"]["blocks"])
        self.views[str(given["user_id"])] = given["view"]
        return {"view": {"id": f"V{self.workspace.number()}"}}


def _streamed(given: Arguments) -> tuple[str, list[Json]]:
    """The text and the blocks of what is streamed."""
    text, blocks = str(given.get("markdown_text") or ""), list[Json]()
    for chunk in given.get("chunks") or ():
        match chunk["type"]:
            case "markdown_text":
                text += chunk["text"]
            case "blocks":
                blocks += chunk["blocks"]
            case _:
                raise RefusedError("invalid_chunks")
    if len(text) > MAX_MARKDOWN:
        raise RefusedError("msg_too_long")
    check_blocks(blocks)
    return text, blocks


def _between(messages: list[Json], given: Arguments) -> list[Json]:
    oldest, latest = float(given.get("oldest") or 0), float(given.get("latest") or 1e12)
    inclusive = str(given.get("inclusive", "")).lower() in {"1", "true"}
    between = [one for one in messages if oldest < float(one["ts"]) < latest]
    edges = [one for one in messages if float(one["ts"]) in (oldest, latest)] if inclusive else []
    return [one for one in messages if one in between or one in edges]


def _page(found: list[Json], given: Arguments) -> Json:
    """One page; metadata only where it was asked for."""
    start, limit = int(given.get("cursor") or 0), int(given.get("limit") or 100)
    page = found[start : start + limit]
    if str(given.get("include_all_metadata", "")).lower() not in {"1", "true"}:
        page = [{name: one[name] for name in one if name != "metadata"} for one in page]
    more = str(start + limit) if start + limit < len(found) else ""
    return {"messages": page, "response_metadata": {"next_cursor": more}}
