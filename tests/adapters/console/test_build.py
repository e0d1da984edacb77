"""The console over real standard streams, and what importing it costs."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from pydantic import ValidationError
from typing_extensions import override

from adapters.console import create
from adapters.console.settings import Settings
from bot.messages import IncomingMessage
from tests.contract.adapter_contract import whole
from tests.contract.recording_services import RecordingServices


class Stream(io.TextIOWrapper):
    """A file in place of a standard stream, which may claim to be a terminal."""

    claims_to_be_a_terminal = False

    @override
    def isatty(self) -> bool:
        return self.claims_to_be_a_terminal


@contextmanager
def standard_streams(folder: Path, content: bytes = b"", *terminals: str) -> Generator[None]:
    """Files as standard streams, in an encoding that knows few characters.

    Not a fixture: pytest sets the streams itself between a fixture and its test.
    """
    (folder / "stdin").write_bytes(content)
    with ExitStack() as opened:
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        for name in ("stdin", "stdout", "stderr"):
            file = opened.enter_context((folder / name).open("rb" if name == "stdin" else "wb"))
            stream = opened.enter_context(Stream(file, encoding="ascii"))
            stream.claims_to_be_a_terminal = name in terminals
            patch.setattr(sys, name, stream)
        yield


async def test_files_are_read_and_written_plainly(tmp_path: Path) -> None:
    services = RecordingServices()
    with standard_streams(tmp_path, "na\u00efve\n".encode() + b"\xff"):
        adapter = create(Settings(), services)
        running = asyncio.create_task(adapter.run())
        first = await services.arrival(1)
        assert isinstance(first, IncomingMessage)
        await adapter.post(first.target, whole("First\nlines"), "k1")
        event = await services.arrival(2)
        assert isinstance(event, IncomingMessage)
        await adapter.post(event.target, whole("Second \u00ef"), "k2")
        await running

    assert (first.text, event.text) == ("na\u00efve", "\ufffd")
    assert event.author.name
    assert event.conversation.is_direct
    assert event.conversation.channel_id == adapter.account
    assert (tmp_path / "stdout").read_text() == (
        "Chatbot: First\n  lines\nChatbot: Second ?\nChatbot: Goodbye!\n"
    )
    assert "was not UTF-8" in (tmp_path / "stderr").read_text()


def test_each_chat_is_an_account_of_its_own(tmp_path: Path) -> None:
    with standard_streams(tmp_path):
        accounts = {create(Settings(), RecordingServices()).account for _ in range(3)}

    assert len(accounts) == 3


async def test_without_standard_input_it_says_goodbye(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standard_streams(tmp_path):
        monkeypatch.setattr(sys, "stdin", None)
        await create(Settings(), RecordingServices()).run()

    assert (tmp_path / "stdout").read_text() == "Chatbot: Goodbye!\n"


async def test_typed_questions_are_asked_for_beside_a_piped_output(tmp_path: Path) -> None:
    with standard_streams(tmp_path, b"quit\n", "stdin"):
        await create(Settings(), RecordingServices()).run()

    assert (tmp_path / "stderr").read_text() == "You: "
    assert (tmp_path / "stdout").read_text() == "Chatbot: Goodbye!\n"


@pytest.mark.parametrize(
    ("settings", "term", "draws"),
    [
        (Settings(), "xterm", True),
        (Settings(), "dumb", False),
        (Settings(markdown=False), "xterm", False),
    ],
)
def test_a_terminal_is_drawn_on_unless_it_cannot_or_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, term: str, draws: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    with (
        standard_streams(tmp_path, b"", "stdin", "stdout"),
        create_pipe_input() as keyboard,
        create_app_session(keyboard, DummyOutput()),
    ):
        adapter = create(settings, RecordingServices())

    assert adapter.capabilities.is_append_only is not draws


async def test_a_user_without_a_name_is_you(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    services = RecordingServices()
    with standard_streams(tmp_path, b"hello\n"):
        running = asyncio.create_task(create(Settings(), services).run())
        asked = await services.arrival(1)
        running.cancel()

    assert isinstance(asked, IncomingMessage)
    assert asked.author.name == "you"


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Settings.model_validate({"colour": True})


def test_importing_the_console_imports_nothing_heavy() -> None:
    script = (
        "import sys, adapters.console\n"
        "print([name for name in ('prompt_toolkit', 'rich', 'torch') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
    )

    assert found.stdout.strip() == "[]"


def test_a_reader_that_leaves_early_causes_no_error() -> None:
    script = (
        "import asyncio\n"
        "from adapters.console import create\n"
        "from adapters.console.settings import Settings\n"
        "from tests.contract.recording_services import RecordingServices\n"
        "asyncio.run(create(Settings(), RecordingServices()).run())\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": ".", "PYTHONUNBUFFERED": ""},
    )
    os.close(writing)

    assert (ended.returncode, ended.stderr) == (0, "")
