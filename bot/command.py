"""What a command is, and the registry that every platform renders and the text parser reads.

It describes and parses; what the commands do stands in the modules beside it.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Protocol

from bot.errors import UsageError
from bot.messages import Action, Author, ConversationRef, MessageReader, Picture, TextFile
from bot.translations import gettext as _

MAX_VALUE_CHARS = 20_000
"""A parameter's value may be as long as a question."""

QUESTION = "question"
"""The parameter that is put to models: what others see of the answer begins with it."""

MAX_SHOWN_CHOICES = 8
"""More choices than these are not written into a command's usage."""


class Who(StrEnum):
    """Who may use a command: a manager manages the channel, and everybody does in their own direct
    messages; an owner of the bot may do all.
    """

    EVERYONE = "everyone"
    MANAGER = "manager"
    OWNER = "owner"


class ParameterKind(StrEnum):
    """What a parameter takes; MODEL, MODELS and SCOPE complete from what is there.

    MODELS are names with commas between them, or a preset's name.
    """

    TEXT = "text"
    MODEL = "model"
    MODELS = "models"
    SCOPE = "scope"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter. `keyword` is the word before it in text ("for" in "/model use X for channel").

    The last TEXT parameter without a keyword takes the rest of the line. It is one of `choices`
    where there are any; `suggestions` are offered while it is typed, and any other text is taken.
    With `takes_mentions` it is given a mention as the platform writes it, and not as a name; with
    `takes_mentions_for` so it is where another argument is one of these words.
    """

    name: str
    help: str
    kind: ParameterKind = ParameterKind.TEXT
    is_required: bool = True
    keyword: str | None = None
    choices: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    takes_mentions: bool = False
    takes_mentions_for: tuple[str, ...] = ()

    @property
    def is_free_text(self) -> bool:
        """Whether it may be any words."""
        return self.kind is ParameterKind.TEXT and not self.choices


MESSAGE_PREFIX = "message:"
"""Before the id of a message that is a parameter's value."""


class OfMessage(StrEnum):
    """What of a message a command takes."""

    TEXT = "text"
    ID = "id"


@dataclass(frozen=True, slots=True)
class MessageMenu:
    """A command's place in a message's own menu (Discord's Apps menu, Slack's shortcuts).

    It stands there as `title`; `gives` of the message becomes the value of `parameter`: its text,
    or its id after `MESSAGE_PREFIX`.
    """

    title: str
    parameter: str
    gives: OfMessage = OfMessage.TEXT


@dataclass(frozen=True, slots=True)
class Caller:
    """Who invoked a command, and where; `message_id` is the stored message's.

    `has_buttons` and `has_pictures` say what an answer can have there; `reader` reads what was
    said there, on platforms where the bot can.
    """

    author: Author
    conversation: ConversationRef
    is_owner: bool
    message_id: int
    has_buttons: bool = False
    has_pictures: bool = False
    reader: MessageReader | None = None

    @property
    def manages(self) -> bool:
        """Whether what is for managers is for them, here."""
        return self.conversation.is_direct or self.author.can_manage or self.is_owner


@dataclass(frozen=True, slots=True)
class Said:
    """A command's outcome: this text is the answer, with these buttons and a line under it.

    `file` goes with it; where a platform has no files, the text ends with what is in it.
    `afterwards` runs when the answer has been delivered and recorded.
    """

    text: str
    is_private: bool = False
    footer: str | None = None
    actions: tuple[Action, ...] = ()
    picture: Picture | None = None
    file: TextFile | None = None
    afterwards: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A command's outcome: put this question to a model (the conversation's own if None).

    It is asked with the context and the files of the stored message with the id `stands_for`, and
    once it is answered, the one with the id `replaces` leaves the context. `written` is the
    beginning of the answer, which is gone on with.
    """

    question: str
    model: str | None = None
    stands_for: int | None = None
    replaces: int | None = None
    written: str | None = None


class Stage(Protocol):
    """Where a command that takes time shows what it does."""

    def feed(self, text: str) -> None:
        """Add to the text that is shown meanwhile."""
        ...

    async def tell(self, text: str, fraction: float | None = None) -> None:
        """Say why nothing comes just now; `fraction` is between 0 and 1 where it is known."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """A command's outcome: it takes time, and its answer may be shown as it grows.

    `do` is cancelled when the member stops it: what it fed by then is the answer.
    """

    do: Callable[[Stage], Awaitable[Said]]
    is_private: bool = False


Outcome = Said | Ask | Work


class Run(Protocol):
    """What a command does, given its checked arguments."""

    def __call__(self, caller: Caller, arguments: Mapping[str, str]) -> Awaitable[Outcome]:
        """Raises `UserFacingError` with what to do instead."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A command; a space in `name` makes a group ("model use").

    `is_private` says that its answers are for its caller alone: some platforms have to know
    before they are made. With `is_immediate` it waits for no earlier question of its caller; with
    `menu` it stands in the menu of each message too. `is_open` leaves it to those too who may not
    talk to the bot.
    """

    name: str
    help: str
    run: Run
    parameters: tuple[Parameter, ...] = ()
    who: Who = Who.EVERYONE
    is_private: bool = False
    is_immediate: bool = False
    menu: MessageMenu | None = None
    is_open: bool = False

    @property
    def restriction(self) -> str | None:
        """Who alone may use it, in words; None where everybody may."""
        words = {
            Who.MANAGER: _("people who manage this channel"),
            Who.OWNER: _("owners of this bot"),
        }
        return words.get(self.who)

    @property
    def usage(self) -> str:
        """How to type it: "/model use NAME [for SCOPE]"."""
        return " ".join([f"/{self.name}", *(_shape(parameter) for parameter in self.parameters)])

    def taking_mentions(self, arguments: Mapping[str, str]) -> set[str]:
        """Which of these arguments are given mentions as the platform writes them."""
        words = {name: value.lower() for name, value in arguments.items()}
        return {
            one.name
            for one in self.parameters
            if one.name in words
            and (
                one.takes_mentions
                or any(words[name] in one.takes_mentions_for for name in words.keys() - {one.name})
            )
        }


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

    def in_menu(self, title: str) -> Command | None:
        """The command that stands under this title in a message's menu."""
        menus = {command.menu.title: command for command in self if command.menu is not None}
        return menus.get(title)

    def get(self, name: str) -> Command:
        """The command of that name. Raises `UsageError` that names the nearest ones."""
        command = self._commands.get(name)
        if command is None:
            raise UsageError(self._unknown(name))
        return command

    def parse(self, line: str) -> Parsed:
        """Parse a line such as "/model use smol for channel".

        Raises `UsageError` where no command begins like that, or it does not take these words.
        """
        words = line.removeprefix("/").split()
        for size in (2, 1):
            command = self._commands.get(" ".join(words[:size]).lower())
            if command is not None:
                rest = line.removeprefix("/").split(maxsplit=size)[size:]
                return Parsed(command.name, _read_arguments(command, rest[0] if rest else ""))
        raise UsageError(self._unknown(" ".join(words[:2])))

    def check(self, name: str, arguments: Mapping[str, str]) -> Command:
        """The command, if these arguments are ones it can be run with.

        Raises `UsageError` that names the parameter, what is wrong with it and the usage.
        """
        command = self.get(name)
        known = {parameter.name: parameter for parameter in command.parameters}
        for given in arguments:
            if given not in known:
                raise UsageError(
                    _("/{name} has no parameter {parameter}. Usage: {usage}").format(
                        name=name, parameter=shorten(given), usage=command.usage
                    )
                )
        for parameter in command.parameters:
            _check_value(command, parameter, arguments.get(parameter.name))
        return command

    def _unknown(self, name: str) -> str:
        group = name.split(" ", maxsplit=1)[0].lower()
        members = [command.usage for command in self if command.name.startswith(f"{group} ")]
        if members:
            return _("/{group} is used like this: {usages}").format(
                group=group, usages=", ".join(members)
            )
        near = get_close_matches(name.lower(), [*self._commands], n=1)
        hint = _("Did you mean /{near}?").format(near=near[0]) if near else ""
        text = _("There is no command /{name}. {hint} /help lists them all.")
        return " ".join(text.format(name=shorten(name), hint=hint).split())


def _shape(parameter: Parameter) -> str:
    is_scope = parameter.kind is ParameterKind.SCOPE  # five words, and the same for every command
    is_short = not is_scope and len(parameter.choices) <= MAX_SHOWN_CHOICES
    value = ("|".join(parameter.choices) if is_short else "") or parameter.name.upper()
    shape = f"{parameter.keyword} {value}" if parameter.keyword else value
    return shape if parameter.is_required else f"[{shape}]"


def _read_arguments(command: Command, rest: str) -> dict[str, str]:
    """Read "NAME for SCOPE": keyword parameters from the end, then the others in order.

    After free text a keyword counts only before one of its choices: "a helper for kids" is text.
    """
    arguments: dict[str, str] = {}
    has_free_text = any(one.is_free_text for one in command.parameters if not one.keyword)
    for parameter in reversed([one for one in command.parameters if one.keyword]):
        head, keyword, value = _before_keyword(rest, str(parameter.keyword))
        is_choice = not parameter.choices or value.lower() in parameter.choices
        if keyword and (is_choice or not has_free_text):
            rest, arguments[parameter.name] = head, value
    plain = [one for one in command.parameters if not one.keyword]
    for index, parameter in enumerate(plain):
        takes_rest = index == len(plain) - 1 and parameter.is_free_text
        value, rest = (rest, "") if takes_rest else _first_word(rest)
        if value:
            arguments[parameter.name] = value
    if rest:
        raise UsageError(
            _("I do not understand {rest}. Usage: {usage}").format(
                rest=shorten(rest), usage=command.usage
            )
        )
    return arguments


def _before_keyword(text: str, keyword: str) -> tuple[str, str, str]:
    """Split at "keyword VALUE" where it ends the text."""
    words = text.rsplit(maxsplit=2)
    if len(words) >= 2 and words[-2].lower() == keyword:
        return " ".join(words[:-2]), keyword, words[-1]
    return text, "", ""


def _first_word(text: str) -> tuple[str, str]:
    words = text.split(maxsplit=1)
    return (words[0] if words else "", words[1] if len(words) > 1 else "")


def _check_value(command: Command, parameter: Parameter, value: str | None) -> None:
    if value is not None and len(value) > MAX_VALUE_CHARS:
        raise UsageError(
            _(
                "{parameter} has {length:,} characters; I read up to {limit:,}. Please shorten it."
            ).format(parameter=parameter.name.upper(), length=len(value), limit=MAX_VALUE_CHARS)
        )
    if value is None or not value.strip():
        if parameter.is_required:
            raise UsageError(
                _("{parameter} is missing ({help}). Usage: {usage}").format(
                    parameter=parameter.name.upper(), help=parameter.help, usage=command.usage
                )
            )
    elif parameter.choices and value.lower() not in parameter.choices:
        raise UsageError(
            _("{parameter} is one of {choices}, not {value}. Usage: {usage}").format(
                parameter=parameter.name.upper(),
                choices=", ".join(parameter.choices),
                value=shorten(value),
                usage=command.usage,
            )
        )


def shorten(text: str, limit: int = 40) -> str:
    """What a member typed, short and printable, for use in an answer to them."""
    printable = "".join(character for character in text if character.isprintable())
    return printable if len(printable) <= limit else f"{printable[:limit]}…"
