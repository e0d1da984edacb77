"""What a command is, and the registry that every platform renders and the text parser reads.

It describes and parses; what the commands do stands in the modules beside it.
"""

import shlex
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot.errors import UsageError
from bot.messages import Author, ConversationRef


class Who(StrEnum):
    """Who may use a command."""

    EVERYONE = "everyone"
    MANAGER = "manager"
    OWNER = "owner"


class ParameterKind(StrEnum):
    """What a parameter takes; MODEL and SCOPE complete from what is there."""

    TEXT = "text"
    MODEL = "model"
    SCOPE = "scope"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter. `keyword` is the word before it in text ("for" in "/model use X for channel").

    The last TEXT parameter without a keyword takes the rest of the line.
    """

    name: str
    help: str
    kind: ParameterKind = ParameterKind.TEXT
    is_required: bool = True
    keyword: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who invoked a command, and where."""

    author: Author
    conversation: ConversationRef
    is_owner: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A command's outcome: this text is the answer."""

    text: str
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """A command's outcome: put this question to a model (the conversation's own if None)."""

    question: str
    model: str | None = None


Outcome = Said | Ask


class Run(Protocol):
    """What a command does, given its checked arguments."""

    def __call__(self, caller: Caller, arguments: Mapping[str, str]) -> Awaitable[Outcome]:
        """Raises `UserFacingError` with what to do instead."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A command; a space in `name` makes a group ("model use")."""

    name: str
    help: str
    run: Run
    parameters: tuple[Parameter, ...] = ()
    who: Who = Who.EVERYONE

    @property
    def usage(self) -> str:
        """How to type it: "/model use NAME [for SCOPE]"."""
        return " ".join([f"/{self.name}", *(_usage(parameter) for parameter in self.parameters)])


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command line of text: the command's name and its raw arguments."""

    name: str
    arguments: Mapping[str, str]


class CommandRegistry:
    """All commands by name."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = {command.name: command for command in commands}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def get(self, name: str) -> Command:
        """The command of that name. Raises `UsageError` that names the nearest ones."""
        command = self._commands.get(name)
        if command is None:
            raise UsageError(self._unknown(name))
        return command

    def parse(self, line: str) -> Parsed:
        """Parse "/model use NAME for channel". Raises `UsageError` with the usage."""
        words = _words(line.removeprefix("/"))
        for size in (2, 1):
            command = self._commands.get(" ".join(words[:size]).lower())
            if command is not None and len(words) >= size:
                return Parsed(command.name, _arguments(command, words[size:]))
        raise UsageError(self._unknown(" ".join(words[:2])))
