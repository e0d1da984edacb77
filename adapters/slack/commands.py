"""The neutral commands on Slack: slash commands, and pickers for what can be chosen (pure).

Slack knows no command of two words: `/model use NAME` is the command `/model` with a text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.adapter import Choice
from bot.command import (
    MESSAGE_PREFIX,
    Command,
    CommandRegistry,
    OfMessage,
    Parameter,
    ParameterKind,
    Parsed,
)
from bot.translations import gettext as _

PICK = "fireside:pick"
"""The id of a picker; the id of its block tells what is picked."""

MENU = "fireside:menu:"
"""Before a command's name: the id of its place in a message's menu."""

MAX_OPTIONS = 100
MAX_BLOCK_ID = 255
MAX_LABEL = 75
MAX_DESCRIPTION = 100

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pick:
    """A command that waits for one more argument."""

    command: str
    parameter: str
    arguments: Mapping[str, str]


def slash_names(registry: CommandRegistry, prefix: str) -> Mapping[str, Sequence[Command]]:
    """The slash commands, each with the commands that it stands for."""
    groups: dict[str, list[Command]] = {}
    for command in registry:
        groups.setdefault(f"/{prefix}{command.name.partition(' ')[0]}", []).append(command)
    return groups


def from_menu(registry: CommandRegistry, callback_id: str, message_id: str, text: str) -> Parsed:
    """The command that was chosen in a message's menu. Raises `UsageError` for one there is not."""
    command = registry.get(callback_id.removeprefix(MENU))
    if command.menu is None:
        return Parsed(command.name, {})
    gives_text = command.menu.gives is OfMessage.TEXT
    value = text if gives_text else f"{MESSAGE_PREFIX}{message_id}"
    return Parsed(command.name, {command.menu.parameter: value})


def line_of(slash: str, text: str, prefix: str) -> str:
    """A slash command as the registry parses it."""
    return f"/{slash.removeprefix('/').removeprefix(prefix)} {text}".rstrip()


def parsed_line(registry: CommandRegistry, line: str, written: str) -> Parsed:
    """The command of a line; what takes mentions has them as they stand in the line as `written`.

    Raises `UsageError` where the registry does.
    """
    parsed = registry.parse(line)
    taking = registry.get(parsed.name).taking_mentions(parsed.arguments)
    if not taking:
        return parsed
    as_written = registry.parse(written).arguments
    kept = {name: as_written[name] for name in taking & as_written.keys()}
    return Parsed(parsed.name, {**parsed.arguments, **kept})


def choice_to_make(command: Command, arguments: Mapping[str, str]) -> Parameter | None:
    """The first required parameter that is missing and can be picked from a list."""
    for parameter in command.parameters:
        is_given = bool(arguments.get(parameter.name, "").strip())
        if parameter.is_required and not is_given:
            return None if parameter.is_free_text else parameter
    return None


def picker(command: Command, parameter: Parameter, arguments: Mapping[str, str]) -> list[Block]:
    """A list to pick a parameter's value from; none where it would not know what it is for."""
    block_id = _block_id(Pick(command.name, parameter.name, arguments))
    if block_id is None:
        return []
    label = _("{parameter} ({help})").format(parameter=parameter.name, help=parameter.help)
    element: Block = {
        "action_id": PICK,
        "placeholder": {"type": "plain_text", "text": label[:MAX_LABEL]},
    }
    if parameter.kind is ParameterKind.TEXT and len(parameter.choices) <= MAX_OPTIONS:
        found = [Choice(choice, choice) for choice in parameter.choices]
        element |= {"type": "static_select", "options": options(found)}
    else:
        element |= {"type": "external_select", "min_query_length": 0}
    question = {"type": "plain_text", "text": f"/{command.name}: {command.help}"}
    return [
        {"type": "section", "text": question},
        {"type": "actions", "block_id": block_id, "elements": [element]},
    ]


def options(choices: Iterable[Choice]) -> list[Block]:
    """Choices as a list shows them."""
    shown = [
        {
            "text": {"type": "plain_text", "text": choice.label[:MAX_LABEL] or choice.value},
            "value": choice.value,
        }
        for choice in choices
        if len(choice.value) <= MAX_LABEL
    ]
    return shown[:MAX_OPTIONS]


def pick_of(block_id: str) -> Pick | None:
    """What a picker is for; None for a block that is none of ours."""
    try:
        command, parameter, arguments = json.loads(block_id)
    except ValueError:
        return None
    return Pick(str(command), str(parameter), {str(k): str(v) for k, v in arguments.items()})


def _block_id(pick: Pick) -> str | None:
    given = [pick.command, pick.parameter, dict(pick.arguments)]
    text = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= MAX_BLOCK_ID else None
