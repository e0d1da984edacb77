"""Lines become questions and commands."""

import pytest

from adapters.console.parse import LineParser, is_quit
from bot.errors import UsageError
from bot.messages import Action, Addressed, CommandInvoked, IncomingMessage
from tests.adapters.console.doubles import NOW, SEAT
from tests.contract.recording_services import REGISTRY


@pytest.fixture
def parser() -> LineParser:
    return LineParser(REGISTRY, SEAT, lambda: NOW)


@pytest.mark.parametrize("line", ["quit", " Quit ", "exit", "EXIT\r", "/quit", "/exit"])
def test_quit_and_exit_ask_to_leave(line: str) -> None:
    assert is_quit(line)


@pytest.mark.parametrize("line", ["", "quit it", "quitting", "/quit now"])
def test_other_lines_do_not(line: str) -> None:
    assert not is_quit(line)


def test_a_line_is_a_direct_message(parser: LineParser) -> None:
    event = parser.parse("  hello there \r")

    assert isinstance(event, IncomingMessage)
    assert (event.text, event.addressed, event.sent_at) == ("hello there", Addressed.DIRECT, NOW)
    assert (event.author, event.conversation) == (SEAT.author, SEAT.conversation)


@pytest.mark.parametrize("line", ["", "   ", "\t", "\x00\x1b[A\x07"])
def test_a_line_with_nothing_to_read_is_no_event(parser: LineParser, line: str) -> None:
    assert parser.parse(line) is None


def test_a_slash_makes_a_command(parser: LineParser) -> None:
    event = parser.parse("/ask what is *love*?")

    assert isinstance(event, CommandInvoked)
    assert (event.name, dict(event.arguments)) == ("ask", {"question": "what is *love*?"})


@pytest.mark.parametrize("line", ["/nothing", "/", "/model", "/help me"])
def test_a_wrong_command_says_what_there_is(parser: LineParser, line: str) -> None:
    with pytest.raises(UsageError, match="/"):
        parser.parse(line)


def test_a_wish_to_stop_names_the_question(parser: LineParser) -> None:
    event = parser.parse("hello")
    assert event is not None
    stop = parser.stop(event)

    assert (stop.action, stop.message_id) == (Action.STOP, event.id)
    assert stop.id != event.id


def test_a_megabyte_is_passed_on(parser: LineParser) -> None:
    event = parser.parse("x" * 1_000_000)

    assert isinstance(event, IncomingMessage)
    assert len(event.text) == 1_000_000
