"""The plain display prints what is final, once."""

from io import StringIO

import pytest

from adapters.console.display import PlainDisplay
from bot.adapter import Progress
from bot.errors import PlatformError
from bot.messages import ReplyView
from tests.contract.adapter_contract import growing, whole


class Streams:
    def __init__(self, streams: bool) -> None:
        self.output = StringIO()
        self.notes = StringIO()
        self.display = PlainDisplay(self.output, self.notes, streams=streams)

    @property
    def printed(self) -> str:
        return self.output.getvalue()


@pytest.fixture
def piped() -> Streams:
    return Streams(streams=False)


@pytest.fixture
def streaming() -> Streams:
    return Streams(streams=True)


def test_an_answer_goes_into_a_pipe_at_once(piped: Streams) -> None:
    piped.display.show("r", growing("one two", 3))
    assert piped.printed == ""
    piped.display.show("r", whole("one two three"))
    assert piped.printed == "Chatbot: one two three\n"


def test_what_is_stable_is_streamed(streaming: Streams) -> None:
    streaming.display.show("r", growing("one two", 4))
    assert streaming.printed == "Chatbot: one "
    streaming.display.show("r", growing("one two thr", 8))
    assert streaming.printed == "Chatbot: one two "
    streaming.display.show("r", whole("one two three"))
    assert streaming.printed == "Chatbot: one two three\n"


def test_an_answer_shown_again_is_not_printed_again(streaming: Streams) -> None:
    streaming.display.show("r", whole("same"))
    streaming.display.show("r", whole("same"))

    assert streaming.printed == "Chatbot: same\n"


def test_an_answer_that_turned_out_otherwise_is_printed_anew(streaming: Streams) -> None:
    streaming.display.show("r", growing("one two", 7))
    streaming.display.show("r", whole("It broke."))
    streaming.display.show("r", whole("It works."))

    assert streaming.printed == "Chatbot: one two\nChatbot: It broke.\nChatbot: It works.\n"


def test_a_withdrawn_answer_ends_its_line(streaming: Streams) -> None:
    streaming.display.show("r", growing("one two", 7))
    streaming.display.withdraw("r")
    streaming.display.withdraw("unknown")

    assert streaming.printed == "Chatbot: one two\n"


def test_a_footer_is_noted_once_and_beside_the_answers(piped: Streams) -> None:
    for number in range(2):
        view = ReplyView("hi", is_complete=True, is_last=True, footer="starter model")
        piped.display.show(f"r{number}", view)

    assert piped.notes.getvalue() == "starter model\n"
    assert piped.printed == "Chatbot: hi\nChatbot: hi\n"


def test_signs_of_work_stay_out_of_a_pipe(piped: Streams) -> None:
    piped.display.working(Progress("Loading", 0.5), 1)
    piped.display.working(None, 2)

    assert (piped.printed, piped.notes.getvalue()) == ("", "")


def test_a_closed_output_is_a_platform_error(piped: Streams) -> None:
    piped.output.close()

    with pytest.raises(PlatformError, match="closed"):
        piped.display.show("r", whole("hello"))
