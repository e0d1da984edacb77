"""The reference of the commands and the settings in chat, written from their definitions."""

from collections.abc import Iterator

from bot.command import Command, CommandRegistry, Parameter
from bot.settings.specs import SETTINGS, SettingSpec
from bot.settings.values import Entries, Number, OneOf, Words

HEAD = """\
# Commands

The same on every platform: Discord shows them as slash commands, Slack as `/command` with the rest
as text (and in messages, `@Fireside /command …`), the terminal as a line that begins with `/`.
`[…]` may be left out, `for SCOPE` says whom it holds for: `me`, `thread`, `channel`, `workspace` or
`global`. "Private" answers are for the caller alone; so is every error.

This page is written by `python -m scripts.commands_page`.
"""

SETTINGS_HEAD = """\
## Settings

`/settings set KEY VALUE [for SCOPE]` changes one. A preference's narrowest value holds (me, thread,
channel, workspace, global, then the configuration); a policy is a rule of the place that nobody
sets for themselves. A value that a wider scope has locked cannot be set more narrowly. Anybody sets
preferences for themselves and in their direct messages; a thread or channel takes who manages it,
everything else an owner (`FIRESIDE_OWNERS`).

| key | takes | kind | may be set for | meaning |
|---|---|---|---|---|
"""


def reference(registry: CommandRegistry) -> str:
    """The whole page, in Markdown."""
    parts = [HEAD]
    groups: dict[str, list[Command]] = {}
    for command in registry:
        groups.setdefault(command.name.partition(" ")[0], []).append(command)
    for name, members in groups.items():
        parts.append(f"## /{name}\n")
        parts.append("\n".join(line for one in members for line in _described(one)) + "\n")
    rows = [_row(spec) for spec in SETTINGS.values()]
    return "\n".join([*parts, SETTINGS_HEAD + "\n".join(rows) + "\n"])


def _described(command: Command) -> Iterator[str]:
    facts = [f"for {command.restriction or 'everyone'}"]
    if command.is_private:
        facts.append("private")
    if command.menu is not None:
        facts.append(f"also in a message's menu: {command.menu.title}")
    yield f"- `{command.usage}`: {command.help} ({'; '.join(facts)})"
    yield from (f"  - `{one.name}`: {_explained(one)}" for one in command.parameters)


def _explained(parameter: Parameter) -> str:
    taken = parameter.choices or parameter.suggestions
    listed = ", ".join(f"`{one}`" for one in taken)
    open_end = "" if parameter.choices or not taken else ", or other words"
    optional = "" if parameter.is_required else " (optional)"
    return parameter.help + (f": {listed}{open_end}" if taken else "") + optional


def _row(spec: SettingSpec) -> str:
    scopes = ", ".join(spec.scopes)
    return f"| `{spec.name}` | {_taken(spec)} | {spec.kind} | {scopes} | {spec.help} |"


def _taken(spec: SettingSpec) -> str:
    match spec.values:
        case OneOf(choices):
            return ", ".join(f"`{choice}`" for choice in choices)
        case Number(least, most, is_whole):
            return f"a {'whole ' if is_whole else ''}number from {least:,} to {most:,}"
        case Entries():
            return "`user:ID`, `role:ID`, `channel:ID`, `workspace:ID`, with commas between them"
        case Words(max_chars):
            return f"up to {max_chars:,} characters"
        case other:
            raise AssertionError(f"{other} is not described")
