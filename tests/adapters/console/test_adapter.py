"""The conversation in the terminal: one question, one answer, Ctrl-C, leaving."""

import asyncio
from collections.abc import AsyncGenerator
from io import StringIO

import pytest

from adapters.console.adapter import SPINNER_INTERVAL_S
from adapters.console.display import PlainDisplay
from adapters.console.drawing import TerminalDisplay
from bot.adapter import Progress
from bot.errors import PlatformError, StoreUnavailable
from bot.messages import Action, ActionInvoked, IncomingMessage, ReplyTarget
from tests.adapters.console.doubles import ConsoleDouble, VirtualTerminal, console_on, running
from tests.contract.adapter_contract import growing, whole


class Piped(ConsoleDouble):
    running: asyncio.Task[None]

    def __init__(self) -> None:
        self.output = StringIO()
        self.notes = StringIO()
        super().__init__(PlainDisplay(self.output, self.notes), self.output.getvalue)


@pytest.fixture
async def piped() -> AsyncGenerator[Piped, None]:
    double = Piped()
    async with running(double) as double.running:
        yield double


async def test_a_conversation_ends_with_goodbye(piped: Piped) -> None:
    await piped.say("hello")
    await piped.answer("Hi!", footer="starter model")
    await piped.say("how are you")
    await piped.answer("Fine.", footer="starter model")
    piped.lines.type("quit")
    await piped.running

    assert piped.shown() == "Chatbot: Hi!\nChatbot: Fine.\nChatbot: Goodbye!\n"
    assert piped.notes.getvalue() == "starter model\n"


async def test_the_end_of_input_says_goodbye_too(piped: Piped) -> None:
    piped.lines.type(None)
    await piped.running

    assert piped.shown() == "Chatbot: Goodbye!\n"


async def test_the_next_line_waits_for_the_whole_answer(piped: Piped) -> None:
    event = await piped.say("one")
    piped.lines.type("two")
    identifier = await piped.adapter.post(event.target, growing("half an"), "k1")
    await settle()
    assert len(piped.services.submitted) == 1
    await piped.adapter.edit(event.target, identifier, whole("half an answer"))

    second = await piped.services.arrival(2)
    assert isinstance(second, IncomingMessage)
    assert second.text == "two"


async def test_an_empty_line_is_told_and_not_submitted(piped: Piped) -> None:
    piped.lines.type("   ")
    event = await piped.say("hello")

    assert piped.services.submitted == [event]
    assert piped.notes.getvalue().startswith("That line was empty")


async def test_a_wrong_command_is_answered_with_the_usage(piped: Piped) -> None:
    piped.lines.type("/model")
    piped.lines.type("/modle list")
    await piped.command("help", {})
    await piped.answer("Help.")

    usage, unknown, answer = piped.shown().splitlines()
    assert usage.startswith("Chatbot: /model is used like this: /model list, /model use NAME")
    assert unknown.startswith("Chatbot: There is no command /modle list.")
    assert answer == "Chatbot: Help."


async def test_a_question_that_cannot_be_stored_is_told_and_the_chat_goes_on(
    piped: Piped,
) -> None:
    piped.services.refusals.append(StoreUnavailable("The disk is full: make room."))
    piped.lines.type("hello")
    await piped.say("hello again")

    assert piped.shown() == "Chatbot: The disk is full: make room.\n"


async def test_ctrl_c_stops_the_answer_and_keeps_the_chat(piped: Piped) -> None:
    event = await piped.say("tell me a story")
    interrupt(piped)
    stop = await piped.services.arrival(2)
    assert isinstance(stop, ActionInvoked)
    assert (stop.action, stop.message_id) == (Action.STOP, event.id)
    await piped.adapter.post(event.target, whole("Once upon (Stopped.)"), "k1")
    piped.lines.type("quit")
    await piped.running

    assert piped.shown() == "Chatbot: Once upon (Stopped.)\nChatbot: Goodbye!\n"


async def test_a_second_ctrl_c_leaves_politely(piped: Piped) -> None:
    await piped.say("tell me a story")
    interrupt(piped)
    await piped.services.arrival(2)
    interrupt(piped)
    await piped.running

    assert piped.shown() == "Chatbot: Goodbye!\n"
    assert len(piped.services.submitted) == 2


async def test_ctrl_c_together_with_the_last_word_stops_nothing(piped: Piped) -> None:
    event = await piped.say("hello")
    interrupt(piped)
    await piped.adapter.post(event.target, whole("Hi!"), "k1")
    following = await piped.say("next")

    assert piped.services.submitted == [event, following]


async def test_a_message_posted_again_with_its_key_is_not_shown_twice(piped: Piped) -> None:
    event = await piped.say("hello")
    first = await piped.adapter.post(event.target, whole("Hi!"), "k1")
    again = await piped.adapter.post(event.target, whole("Hi!"), "k1")

    assert first == again
    assert piped.shown() == "Chatbot: Hi!\n"


async def test_an_answer_to_another_question_does_not_end_the_waiting(piped: Piped) -> None:
    await piped.say("hello")
    piped.lines.type("next")
    await piped.adapter.post(ReplyTarget("999"), whole("late"), "k0")
    await settle()

    assert len(piped.services.submitted) == 1


async def test_a_closed_output_ends_the_chat_without_an_error(piped: Piped) -> None:
    event = await piped.say("hello")
    piped.output.close()
    with pytest.raises(PlatformError):
        await piped.adapter.post(event.target, whole("Hi!"), "k1")
    await piped.running

    assert piped.closed == 1


async def test_a_closed_output_at_goodbye_is_no_error_either(piped: Piped) -> None:
    piped.output.close()
    piped.lines.type("quit")
    await piped.running

    assert piped.closed == 1


async def test_a_piped_console_is_append_only_and_a_terminal_is_not(piped: Piped) -> None:
    drawn = ConsoleDouble(TerminalDisplay(console_on(VirtualTerminal())), str)

    assert piped.adapter.capabilities.is_append_only
    assert not drawn.adapter.capabilities.is_append_only


async def test_a_spinner_turns_by_itself_and_is_wiped() -> None:
    terminal = VirtualTerminal()
    drawn = ConsoleDouble(TerminalDisplay(console_on(terminal)), terminal.text)
    loop = asyncio.get_running_loop()
    async with drawn.adapter.working(ReplyTarget("1")) as indicator:
        first = drawn.shown()
        await indicator.update(Progress("Loading fireside", 0.25))
        turned = loop.create_future()
        loop.call_later(2 * SPINNER_INTERVAL_S, turned.set_result, None)
        await turned
        second = drawn.shown()

    assert first.endswith("thinking")
    assert second.endswith("25%")
    assert drawn.shown() == ""


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


def interrupt(double: ConsoleDouble) -> None:
    assert double.lines.interrupt is not None
    double.lines.interrupt()
