"""The neutral commands as Discord's application commands (pure), and back.

A space in a command's name makes a group with sub-commands. Sending them stands in `client.py`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import discord

from adapters.discord.settings import ManagerPermission
from bot.command import Command, CommandRegistry, Parameter, ParameterKind, Who
from bot.translations import gettext as _

MAX_DESCRIPTION = 100
MAX_CHOICES = 25

CHAT_INPUT = 1
MESSAGE_MENU = 3
SUB_COMMAND = 1
STRING = 3

EVERYWHERE: Mapping[str, Sequence[int]] = {"integration_types": (0, 1), "contexts": (0, 1, 2)}
"""Installed in a guild or by a user; in guilds, direct messages with the bot and all others."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A command as a member gave it; `focused` is the parameter being typed."""

    name: str
    arguments: Mapping[str, str]
    focused: str | None = None


def menu_name() -> str:
    """What the command on a message is called ("Apps > Ask Fireside")."""
    return _("Ask Fireside")


def payload(registry: CommandRegistry, permission: ManagerPermission) -> list[dict[str, Any]]:
    """Every command as Discord takes them."""
    groups: dict[str, list[Command]] = {}
    for command in registry:
        groups.setdefault(command.name.partition(" ")[0], []).append(command)
    chat = [_chat_command(name, members, permission) for name, members in groups.items()]
    menus = [command.menu.title for command in registry if command.menu is not None]
    on_message = [
        {"type": MESSAGE_MENU, "name": title, **EVERYWHERE} for title in (menu_name(), *menus)
    ]
    return [*chat, *on_message]


def digest(commands: Sequence[Mapping[str, Any]], application_id: int) -> str:
    """What changes when any command does, or the application."""
    text = json.dumps([application_id, *commands], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def typed(data: Mapping[str, Any]) -> Typed:
    """The command of an interaction's data."""
    names = [str(data["name"])]
    options: Iterable[Mapping[str, Any]] = data.get("options") or ()
    while inner := next((one for one in options if one["type"] == SUB_COMMAND), None):
        names.append(str(inner["name"]))
        options = inner.get("options") or ()
    given = list(options)
    arguments = {str(one["name"]): str(one["value"]) for one in given}
    focused = next((str(one["name"]) for one in given if one.get("focused")), None)
    return Typed(" ".join(names), arguments, focused)


def _chat_command(
    name: str, members: Sequence[Command], permission: ManagerPermission
) -> dict[str, Any]:
    is_group = members[0].name != name
    command: dict[str, Any] = {"type": CHAT_INPUT, "name": name, **EVERYWHERE}
    if is_group:
        command["description"] = _short(", ".join(member.help for member in members))
        command["options"] = [_sub_command(member) for member in members]
    else:
        command["description"] = _short(members[0].help)
        command["options"] = _options(members[0].parameters)
    if all(member.who is not Who.EVERYONE for member in members):
        flags = discord.Permissions(**{permission: True})
        command["default_member_permissions"] = str(flags.value)
    return command


def _sub_command(command: Command) -> dict[str, Any]:
    return {
        "type": SUB_COMMAND,
        "name": command.name.partition(" ")[2],
        "description": _short(command.help),
        "options": _options(command.parameters),
    }


def _options(parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    """Required parameters first, as Discord wants them."""
    ordered = sorted(parameters, key=lambda parameter: not parameter.is_required)
    return [_option(parameter) for parameter in ordered]


def _option(parameter: Parameter) -> dict[str, Any]:
    option: dict[str, Any] = {
        "type": STRING,
        "name": parameter.name,
        "description": _short(parameter.help),
        "required": parameter.is_required,
    }
    if 0 < len(parameter.choices) <= MAX_CHOICES:
        option["choices"] = [{"name": choice, "value": choice} for choice in parameter.choices]
    elif parameter.choices or parameter.suggestions or parameter.kind is not ParameterKind.TEXT:
        option["autocomplete"] = True
    return option


def _short(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else f"{text[: MAX_DESCRIPTION - 1]}…"
