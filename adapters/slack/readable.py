"""Slack's markup in a text becomes words that a model can read (pure).

What a member types comes with `&`, `<` and `>` as entities, so that what stands between angle
brackets is always Slack's own: a mention, a channel, a link, a date.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_MARKUP = re.compile(r"<([^<>\n]+)>")
_USER = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^<>]*)?>")
_CHANNEL = re.compile(r"<#([CGD][A-Z0-9]+)(?:\|([^<>]*))?>")


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called where a message was written."""

    users: Mapping[str, str] = field(default_factory=dict[str, str])
    channels: Mapping[str, str] = field(default_factory=dict[str, str])


def mentioned_users(text: str) -> frozenset[str]:
    """The ids of the members that a text mentions."""
    return frozenset(_USER.findall(text))


def unnamed_channels(text: str) -> frozenset[str]:
    """The ids of the channels that a text mentions without their names."""
    return frozenset(channel for channel, name in _CHANNEL.findall(text) if not name)


def readable(text: str, names: Names) -> str:
    """The text with mentions, channels, links, dates and entities as words."""
    parts = _MARKUP.split(text)
    return "".join(
        _words(part, names) if index % 2 else _characters(part) for index, part in enumerate(parts)
    )


def without_own_mention(text: str, own_id: str) -> str:
    """The text without the bot's own mentions at its beginning and end; others stay."""
    mention = rf"<@{re.escape(own_id)}(?:\|[^<>]*)?>"
    found = re.match(rf"^(?:\s*{mention})+\s*[,:]?\s*", text)
    text = text[found.end() :] if found else text.lstrip()
    return re.sub(rf"(?:\s*{mention})+\s*$", "", text).rstrip()


def mentions(text: str, user_id: str) -> bool:
    """Whether a text mentions a member."""
    return user_id in mentioned_users(text)


def _words(markup: str, names: Names) -> str:
    address, bar, label = markup.partition("|")
    label = _characters(label)
    if address.startswith("@"):
        return f"@{names.users.get(address[1:]) or label or 'someone'}"
    if address.startswith("#"):
        return f"#{label or names.channels.get(address[1:]) or 'a channel'}"
    if address.startswith("!"):
        return _special(address[1:], label)
    address = _characters(address)
    if address.startswith("mailto:"):
        return label or address.removeprefix("mailto:")
    return f"[{label}]({address})" if bar and not _is_same(label, address) else address


def _special(command: str, label: str) -> str:
    name = command.partition("^")[0]
    if name in {"channel", "here", "everyone", "group"}:
        return f"@{name}"
    if name == "subteam":
        return f"@{label.removeprefix('@') or 'a group'}"
    return label or name


def _is_same(label: str, address: str) -> bool:
    """Whether a link's label says no more than its address."""
    return label.rstrip("/") in {address.rstrip("/"), re.sub(r"^\w+://", "", address).rstrip("/")}


def _characters(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
