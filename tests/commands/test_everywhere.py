"""Every command on every platform, and every command with whatever somebody may give it."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.console.completion import candidates
from adapters.discord.commands import MESSAGE_MENU, SUB_COMMAND, payload
from adapters.slack.commands import line_of, slash_names
from bot.command import Command, CommandRegistry, Parameter
from bot.commands.build import described_registry
from bot.errors import UsageError
from bot.messages import Author, CommandInvoked, ConversationRef
from bot.platforms.discovery import adapter_modules
from bot.platforms.services import AdapterServices
from tests.commands.test_commands import MANAGER, OWNER, answer
from tests.doubles.scripted import ANN, CHANNEL, DIRECT, command
from tests.running_flow import Flow, running_flow

Offered = Mapping[str, set[str]]
"""The commands that a platform offers, each with its parameters."""


async def on_discord(services: AdapterServices) -> Offered:
    found: dict[str, set[str]] = {}
    for one in payload(services.commands, "manage_channels"):
        if one["type"] == MESSAGE_MENU:
            continue
        subs = [option for option in one["options"] if option["type"] == SUB_COMMAND]
        for named, options in [
            (f"{one['name']} {sub['name']}", sub["options"]) for sub in subs
        ] or [(one["name"], one["options"])]:
            found[named] = {option["name"] for option in options}
    return found


async def in_the_terminal(services: AdapterServices) -> Offered:
    """What is completed after "/", and the parameters that its typed line is parsed into."""
    listed = [one.text.rstrip() async for one in candidates(services, "/")]
    return _parsed(services.commands, {name: f"/{name}" for name in listed})


async def on_slack(services: AdapterServices) -> Offered:
    slashes = slash_names(services.commands, "fs-").items()
    lines = {
        one.name: line_of(slash, one.name.partition(" ")[2], "fs-")
        for slash, members in slashes
        for one in members
    }
    return _parsed(services.commands, lines)


def _parsed(registry: CommandRegistry, lines: Mapping[str, str]) -> Offered:
    found: dict[str, set[str]] = {}
    for name, begin in lines.items():
        parsed = registry.parse(f"{begin} {_typed(registry.get(name))}".rstrip())
        found[parsed.name] = set(parsed.arguments)
    return found


def _typed(command: Command) -> str:
    """A line with every parameter."""
    words = [(one.keyword, one.choices[0] if one.choices else "word") for one in command.parameters]
    plain = [value for keyword, value in words if keyword is None]
    return " ".join([*plain, *(f"{keyword} {value}" for keyword, value in words if keyword)])


PLATFORMS: Mapping[str, Callable[[AdapterServices], Any]] = {
    "console": in_the_terminal,
    "discord": on_discord,
    "slack": on_slack,
}


def test_every_installed_platform_is_walked() -> None:
    assert {platform for platform, _module in adapter_modules()} == set(PLATFORMS)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_every_command_with_every_parameter_is_on_every_platform(
    tmp_path: Path, platform: str
) -> None:
    async with running_flow(tmp_path) as flow:
        offered: Offered = await PLATFORMS[platform](flow.services)
        wanted = {
            one.name: {parameter.name for parameter in one.parameters}
            for one in flow.services.commands
        }
    assert offered == wanted


async def test_discord_takes_every_command_as_it_is(tmp_path: Path) -> None:
    """The limits of its documentation, "Application Commands"."""
    async with running_flow(tmp_path) as flow:
        commands = payload(flow.services.commands, "manage_channels")
    assert sum(one["type"] == MESSAGE_MENU for one in commands) <= 5
    assert len(commands) <= 100
    for named in _all_named(commands):
        assert re.fullmatch(r"[-_a-z0-9]{1,32}", named["name"])
        assert 1 <= len(named["description"]) <= 100
        assert len(named.get("options", ())) <= 25
        assert len(named.get("choices", ())) <= 25


def _all_named(commands: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for one in commands:
        if one["type"] != MESSAGE_MENU:
            found += [one, *_all_named(one.get("options", ()))]
    return found


def _wrong(parameter: Parameter) -> Mapping[str, str]:
    """Values that a parameter must refuse, each with what is said about it."""
    name = parameter.name.upper()
    wrong: dict[str, str] = {}
    if parameter.is_required:
        wrong[" "] = f"{name} is missing"
    if parameter.choices:
        wrong["no-such-thing"] = f"{name} is one of"
    return wrong


def _valid(command: Command) -> dict[str, str]:
    required = [one for one in command.parameters if one.is_required]
    return {one.name: one.choices[0] if one.choices else "small" for one in required}


async def test_bad_input_is_named_for_every_parameter_of_every_command(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        registry = flow.services.commands
        refused = 0
        for known in registry:
            for parameter in known.parameters:
                for value, said in _wrong(parameter).items():
                    with pytest.raises(UsageError) as error:
                        registry.check(known.name, {**_valid(known), parameter.name: value})
                    assert said in error.value.text
                    assert known.usage in error.value.text
                    refused += 1
        assert refused > 20


LONG = "x" * 20_001
BAD: Mapping[str, Mapping[str, str]] = {
    "question": {LONG: "QUESTION has 20,001 characters; I read up to 20,000"},
    "text": {LONG: "TEXT has 20,001 characters"},
    "persona": {"x" * 9000: "persona takes up to 8,000 characters"},
    "model": {"no-such": "no model no-such in the catalogue", "absent": "not installed"},
    "name": {"no-such": "no model no-such in the catalogue"},
    "models": {
        "small": "two to four different models",
        "no-such,small": "no model no-such in the catalogue",
    },
    "scope": {"moon": "SCOPE is one of ", "thread": "There is no thread here"},
    "key": {"colour": "KEY is one of model, persona"},
    "value": {"banana": "temperature is a number from 0 to 5, not banana"},
    "blind": {"perhaps": "BLIND is one of yes, no"},
    "choice": {"e": "CHOICE is one of a, b, c, d, tie"},
    "language": {"Klingon": "LANGUAGE is one of arabic"},
    "what": {
        "banana": "I do not understand WHAT",
        "0": "from 1 to 300, not 0",
        f"message:{'9' * 5000}": "I do not understand WHAT",
    },
    "who": {"nonsense": "WHO takes a mention", "user:": "WHO takes a mention"},
    "rating": {"sideways": "RATING is one of good, bad"},
    "keep": {"perhaps": "KEEP is one of yes, no"},
    "reason": {LONG: "REASON has 20,001 characters"},
}
"""For each parameter by its name what it must refuse, and what is said then."""

BESIDE: Mapping[str, str] = {"key": "temperature", "who": "user:1", "value": "1"}
"""What makes the rest of a command right, where any word would not do."""


async def test_each_bad_value_of_each_parameter_is_told_to_the_caller_alone(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        for known in flow.services.commands:
            for parameter in known.parameters:
                for value, said in BAD[parameter.name].items():
                    valid = {name: BESIDE.get(name, one) for name, one in _valid(known).items()}
                    given = {**valid, parameter.name: value}
                    target = f"c{len(flow.platform.messages())}"
                    await flow.submit(command(known.name, given, target, OWNER))
                    await flow.settle(target)
                    (told,) = flow.platform.messages(target)
                    if parameter.choices and value not in parameter.choices:
                        said = f"{parameter.name.upper()} is one of {parameter.choices[0]}, "
                    assert said in told.text, f"/{known.name} {given}"
                    assert told.is_private


async def test_a_refusal_is_for_the_caller_alone(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        for known in flow.services.commands:
            if any(one.is_required for one in known.parameters):
                assert "is missing" in await answer(flow, known.name)
                assert flow.platform.messages()[-1].is_private


PEOPLE = (ANN, MANAGER, OWNER)
PLACES = (CHANNEL, DIRECT, ConversationRef("scripted", "home", "general", "t1"))
WORDS = (
    *("", " ", "small", "large", "absent", "small,large", "lab", "me", "global", "on", "0", "-1"),
    *(
        "nan",
        "1e999",
        "9" * 400,
        "@everyone",
        "```",
        "\u202e",
        "\x00",
        "\ud800",
        "message:q1",
        "1h",
    ),
)
ANYTHING = st.text(max_size=300) | st.sampled_from(WORDS)


def _arguments(known: Command) -> st.SearchStrategy[dict[str, str]]:
    """Any arguments for a command: right ones, wrong ones, too few and too many."""
    values = {
        one.name: (st.sampled_from(one.choices) | ANYTHING) if one.choices else ANYTHING
        for one in known.parameters
    }
    required = {one.name: values[one.name] for one in known.parameters if one.is_required}
    optional = {name: value for name, value in values.items() if name not in required}
    few = st.dictionaries(st.sampled_from([*values, "colour"]), ANYTHING, max_size=3)
    return st.fixed_dictionaries(required, optional=optional) | few


@dataclass
class Served:
    """A flow that goes on from one example to the next, on a loop of its own."""

    runner: asyncio.Runner
    flow: Flow
    number: int = 0

    def answer(self, name: str, arguments: dict[str, str], who: Author, at: ConversationRef) -> str:
        """Invoke a command; what it is answered with."""
        self.number += 1
        target = f"c{self.number}"
        return self.runner.run(self._answer(command(name, arguments, target, who, at)))

    async def _answer(self, invoked: CommandInvoked) -> str:
        await self.flow.submit(invoked)
        await self.flow.settle(invoked.id)
        said = self.flow.platform.answer(invoked.id)
        self.flow.platform.clear()
        return said


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serves for all examples of this file."""
    folder, ready, done = tmp_path_factory.mktemp("flow"), asyncio.Event(), asyncio.Event()
    flows: list[Flow] = []

    async def serve() -> None:
        async with running_flow(folder) as flow:
            flows.append(flow)
            ready.set()
            await done.wait()

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(serve())
        await ready.wait()
        return task

    async def end(task: asyncio.Task[None]) -> None:
        done.set()
        await task

    with asyncio.Runner() as runner:
        task = runner.run(begin())
        yield Served(runner, flows[0])
        runner.run(end(task))


@pytest.mark.parametrize("name", [one.name for one in described_registry()])
@settings(max_examples=6)
@given(data=st.data())
def test_whatever_a_command_is_given_it_answers_in_words(
    served: Served, name: str, data: st.DataObject
) -> None:
    arguments = data.draw(_arguments(served.flow.services.commands.get(name)))
    said = served.answer(
        name, arguments, data.draw(st.sampled_from(PEOPLE)), data.draw(st.sampled_from(PLACES))
    )
    assert said.strip()
    assert "Traceback" not in said
    assert "went wrong on my side" not in said
