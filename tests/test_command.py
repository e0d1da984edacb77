"""Commands are parsed and checked from their definitions alone."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.command import (
    Caller,
    Command,
    CommandRegistry,
    Parameter,
    ParameterKind,
    Parsed,
    Said,
)
from bot.errors import UsageError


async def run(caller: Caller, arguments: Mapping[str, str]) -> Said:
    return Said("done")


SCOPE = Parameter(
    "scope",
    "for whom",
    ParameterKind.SCOPE,
    is_required=False,
    keyword="for",
    choices=("me", "channel"),
)
REGISTRY = CommandRegistry(
    [
        Command("ask", "Ask", run, (Parameter("question", "what to ask"),)),
        Command("model list", "List", run),
        Command(
            "model use", "Switch", run, (Parameter("name", "a name", ParameterKind.MODEL), SCOPE)
        ),
    ]
)


@pytest.mark.parametrize(
    ("line", "name", "arguments"),
    [
        ("/ask how old is the sun?", "ask", {"question": "how old is the sun?"}),
        ("/ask  two  spaces stay", "ask", {"question": "two  spaces stay"}),
        ("/ask", "ask", {}),
        ("/model list", "model list", {}),
        ("/MODEL List", "model list", {}),
        ("/model use small", "model use", {"name": "small"}),
        ("/model use small for me", "model use", {"name": "small", "scope": "me"}),
        ("/model use for me", "model use", {"scope": "me"}),
        ("/ask what is for me", "ask", {"question": "what is for me"}),
    ],
)
def test_a_line_is_parsed(line: str, name: str, arguments: dict[str, str]) -> None:
    assert REGISTRY.parse(line) == Parsed(name, arguments)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/modle list", "Did you mean /model list?"),
        ("/nothing", "/help lists them all"),
        ("/", "/help"),
        ("/model", "/model use NAME [for SCOPE]"),
        ("/model fly", "/model list"),
        ("/model list all of them", "I do not understand all of them"),
        ("/model use small please", "Usage: /model use NAME"),
    ],
)
def test_a_wrong_line_says_what_is_right(line: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        REGISTRY.parse(line)
    assert hint in error.value.text


@pytest.mark.parametrize(
    ("name", "arguments", "hint"),
    [
        ("ask", {}, "QUESTION is missing (what to ask). Usage: /ask QUESTION"),
        ("ask", {"question": "  "}, "QUESTION is missing"),
        ("ask", {"question": "x", "colour": "red"}, "no parameter colour"),
        ("model use", {"name": "small", "scope": "moon"}, "one of me, channel, not moon"),
        ("fly", {}, "no command /fly"),
    ],
)
def test_wrong_arguments_are_named(name: str, arguments: dict[str, str], hint: str) -> None:
    with pytest.raises(UsageError) as error:
        REGISTRY.check(name, arguments)
    assert hint in error.value.text


def test_right_arguments_pass() -> None:
    assert REGISTRY.check("model use", {"name": "x", "scope": "ME"}).name == "model use"


def refusal_of(line: str) -> str | None:
    """Why a line is refused; None where it is parsed."""
    try:
        parsed = REGISTRY.parse(line)
    except UsageError as error:
        return error.text
    assert parsed.name in {command.name for command in REGISTRY}
    return None


@given(st.text(max_size=200))
def test_any_line_is_parsed_or_refused_in_a_short_printable_text(line: str) -> None:
    refusal = refusal_of(f"/{line}")
    assert refusal is None or (refusal.isprintable() and len(refusal) < 300)
