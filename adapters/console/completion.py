"""Completing a slash command while it is typed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bot.adapter import Services
from bot.command import Command, CommandRegistry, Parameter


@dataclass(frozen=True, slots=True)
class Candidate:
    """What can stand in place of the last `replaces` characters before the cursor."""

    text: str
    replaces: int
    label: str
    help: str


async def candidates(services: Services, line: str) -> AsyncIterator[Candidate]:
    """What can follow in a line up to the cursor; nothing unless it begins with "/"."""
    if not line.startswith("/"):
        return
    typed = line[1:]
    for command in services.commands:
        if command.name.startswith(typed.lower()):
            end = " " if command.parameters else ""
            yield Candidate(command.name + end, len(typed), command.usage, command.help)
    command = _named(services.commands, typed)
    if command is not None:
        words = typed[len(command.name) :].split(" ")[1:]
        async for candidate in _arguments(services, command, words):
            yield candidate


def _named(commands: CommandRegistry, typed: str) -> Command | None:
    """The command whose name was typed to its end, the longest where several begin alike."""
    fitting = [one for one in commands if typed.lower().startswith(f"{one.name} ")]
    return max(fitting, key=lambda command: len(command.name), default=None)


async def _arguments(
    services: Services, command: Command, words: Sequence[str]
) -> AsyncIterator[Candidate]:
    *before, prefix = words
    parameter, keywords = _expected(command, [word for word in before if word])
    if parameter is not None:
        for choice in await services.complete(command.name, parameter.name, prefix):
            yield Candidate(choice.value, len(prefix), choice.value, choice.label)
    for one in keywords:
        if str(one.keyword).startswith(prefix.lower()):
            yield Candidate(f"{one.keyword} ", len(prefix), str(one.keyword), one.help)


def _expected(
    command: Command, before: Sequence[str]
) -> tuple[Parameter | None, Sequence[Parameter]]:
    """The parameter whose value comes next, and those whose keyword may come instead."""
    positional = [one for one in command.parameters if one.keyword is None]
    keyed = {one.keyword: one for one in command.parameters if one.keyword is not None}
    awaited: Parameter | None = None
    for word in before:
        if awaited is not None:
            awaited = None
        elif word.lower() in keyed:
            awaited = keyed.pop(word.lower())
        elif len(positional) > 0:
            positional.pop(0)
    if awaited is not None:
        return awaited, ()
    has_begun = any(not one.is_required for one in positional) or not positional
    return (positional[0] if positional else None), [*keyed.values()] if has_begun else ()
