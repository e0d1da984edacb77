"""The prompt, over a keyboard that a test presses: prompt_toolkit itself, no screen."""

import asyncio
from collections.abc import Iterator

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from adapters.console.prompt import CommandCompleter, PromptLines
from tests.contract.recording_services import RecordingServices

UP, LEFT, CTRL_C, CTRL_D = "\x1b[A", "\x1b[D", "\x03", "\x04"


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keyboard:
        yield keyboard


@pytest.fixture
def prompt(keyboard: PipeInput) -> PromptLines:
    return PromptLines(RecordingServices(), keyboard, DummyOutput())


async def test_a_typed_line_is_read(prompt: PromptLines, keyboard: PipeInput) -> None:
    keyboard.send_text("hallo" + 4 * LEFT + "\x7fH\r")

    assert await prompt.read_line() == "Hallo"


async def test_the_arrow_brings_back_earlier_lines(
    prompt: PromptLines, keyboard: PipeInput
) -> None:
    for line in ("one", "two"):
        keyboard.send_text(f"{line}\r")
        await prompt.read_line()
    keyboard.send_text(UP + UP + "!\r")

    assert await prompt.read_line() == "one!"


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
async def test_an_empty_prompt_is_left_by_ctrl_c_and_ctrl_d(
    prompt: PromptLines, keyboard: PipeInput, key: str
) -> None:
    keyboard.send_text(key)

    assert await prompt.read_line() is None


async def test_ctrl_c_clears_what_is_typed(prompt: PromptLines, keyboard: PipeInput) -> None:
    keyboard.send_text(f"no, not that{CTRL_C}this\r")

    assert await prompt.read_line() == "this"


async def test_commands_are_completed_in_place() -> None:
    completer = CommandCompleter(RecordingServices())
    line = Document("/model us")
    event = CompleteEvent(text_inserted=True)

    assert [*completer.get_completions(line, event)] == []
    assert [
        (one.text, one.start_position, one.display_text, one.display_meta_text)
        async for one in completer.get_completions_async(line, event)
    ] == [("model use ", -8, "/model use NAME [for SCOPE]", "Choose a model")]


async def test_ctrl_c_is_heard_while_an_answer_is_made(
    prompt: PromptLines, keyboard: PipeInput
) -> None:
    heard = asyncio.Event()
    with prompt.listening(heard.set):
        keyboard.send_text(CTRL_C)
        assert await asyncio.wait_for(heard.wait(), 10)


async def test_keys_typed_ahead_wait_for_the_next_prompt(
    prompt: PromptLines, keyboard: PipeInput
) -> None:
    heard = asyncio.Event()
    with prompt.listening(heard.set):
        keyboard.send_text(f"ahead{CTRL_C}")
        await asyncio.wait_for(heard.wait(), 10)
    keyboard.send_text(" of you\r")

    assert await prompt.read_line() == "ahead of you"


async def test_a_late_answer_is_written_around_the_prompt(
    prompt: PromptLines, keyboard: PipeInput
) -> None:
    written: list[str] = []
    await prompt.undisturbed(lambda: written.append("before"))
    reading = asyncio.create_task(prompt.read_line())
    await asyncio.sleep(0)
    await prompt.undisturbed(lambda: written.append("meanwhile"))
    keyboard.send_text("typed\r")

    assert await reading == "typed"
    assert written == ["before", "meanwhile"]
