"""Discord's markup in a text becomes words that a model can read (pure).

Markup inside code stays: there it is shown as it was typed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

_CODE = re.compile(r"(```.*?(?:```|\Z)|``.+?``|`[^`\n]+`)", re.DOTALL)
_USER = re.compile(r"<@!?(\d{15,21})>")
_ROLE = re.compile(r"<@&(\d{15,21})>")
_CHANNEL = re.compile(r"<#(\d{15,21})>")
_EMOJI = re.compile(r"<a?:(\w{1,32}):\d{15,21}>")
_COMMAND = re.compile(r"</([^:<>]{1,100}):\d{15,21}>")
_TIME = re.compile(r"<t:(-?\d{1,12})(?::([tTdDfFRsS]))?>")

_TIME_FORMATS: Mapping[str, str] = {
    "t": "%H:%M UTC",
    "T": "%H:%M:%S UTC",
    "d": "%Y-%m-%d",
    "D": "%Y-%m-%d",
}


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called where a message was written."""

    users: Mapping[int, str] = field(default_factory=dict[int, str])
    roles: Mapping[int, str] = field(default_factory=dict[int, str])
    channel: Callable[[int], str | None] = lambda _id: None


def readable(text: str, names: Names) -> str:
    """The text with mentions, channels, roles, emoji, commands and times as words."""
    parts = _CODE.split(text)
    return "".join(
        part if index % 2 else _outside_code(part, names) for index, part in enumerate(parts)
    )


def without_own_mention(text: str, own: frozenset[str]) -> str:
    """The text without the bot's own mentions at its beginning and end; others stay."""
    stripped = text.strip()
    while True:
        before = stripped
        for mention in own:
            stripped = stripped.removeprefix(mention).removesuffix(mention).strip()
        if stripped == before:
            return _without_leading_mark(stripped) if stripped != text.strip() else stripped


def own_mentions(user_id: int, role_id: int | None) -> frozenset[str]:
    """How the bot is written in a message: as a user, and as the role that is its own."""
    role = {f"<@&{role_id}>"} if role_id is not None else set[str]()
    return frozenset({f"<@{user_id}>", f"<@!{user_id}>"} | role)


def _without_leading_mark(text: str) -> str:
    """Without what often follows a name: "@Fireside, what ..."."""
    return re.sub(r"^[,:]\s+", "", text)


def _outside_code(text: str, names: Names) -> str:
    text = _USER.sub(lambda match: f"@{names.users.get(int(match[1]), 'someone')}", text)
    text = _ROLE.sub(lambda match: f"@{names.roles.get(int(match[1]), 'a role')}", text)
    text = _CHANNEL.sub(lambda match: f"#{names.channel(int(match[1])) or 'a channel'}", text)
    text = _EMOJI.sub(r":\1:", text)
    text = _COMMAND.sub(r"/\1", text)
    return _TIME.sub(_time, text)


def _time(match: re.Match[str]) -> str:
    try:
        moment = datetime.fromtimestamp(int(match[1]), UTC)
    except (OverflowError, OSError, ValueError):
        return match[0]
    return moment.strftime(_TIME_FORMATS.get(match[2] or "f", "%Y-%m-%d %H:%M UTC"))
