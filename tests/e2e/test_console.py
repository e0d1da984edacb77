"""`fireside chat` as its users run it: a process of its own, the embedded model, no network."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

CHAT = [sys.executable, "-m", "bot", "chat"]
COMPARE = [sys.executable, "-m", "bot", "compare"]
PATIENCE_S = 100.0


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """A machine on which Fireside was never started."""
    foreign = {name: value for name, value in os.environ.items() if "FIRESIDE" not in name}
    return {
        **foreign,
        "FIRESIDE_DATA_DIR": str(tmp_path / "data"),
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
    }


def piped(
    command: list[str], questions: bytes, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, input=questions, capture_output=True, env=environment, timeout=PATIENCE_S
    )


def test_the_piped_conversation_has_one_line_for_each_answer(
    environment: Mapping[str, str],
) -> None:
    ended = piped(CHAT, b"hello\nhow are you\nquit\n", environment)
    lines = ended.stdout.decode().splitlines()

    assert ended.returncode == 0, ended.stderr.decode()
    answers = [line.removeprefix("Chatbot: ") for line in lines if line.startswith("Chatbot: ")]
    assert len(answers) == 3
    assert all(answer.strip() for answer in answers)
    assert answers[-1] == "Goodbye!"
    assert b"Traceback" not in ended.stderr


def test_bad_input_is_told_and_loses_no_answer(environment: Mapping[str, str]) -> None:
    questions = b"\n".join(
        [
            b"",
            b" \t ",
            b"\xff\xfe\x00 hello",
            b"\x1b[31mhi\x07",
            b"x" * 1_000_000,
            b"/nonsense",
            b"/model use",
            b"/model use no-such-model",
            "مرحبا e\u0301".encode(),
            b"/model list",
        ]
    )
    ended = piped(CHAT, questions, environment)
    printed = ended.stdout.decode()
    answers = [line for line in printed.splitlines() if line.startswith("Chatbot: ")]

    assert ended.returncode == 0, ended.stderr.decode()
    assert len(answers) == 9
    assert "1,000,000 characters" in answers[2]
    assert "no command /nonsense" in answers[3]
    assert "NAME is missing" in answers[4]
    assert "no model no-such-model" in answers[5]
    assert answers[-1] == "Chatbot: Goodbye!"
    assert "\x1b" not in printed
    assert ended.stderr.decode().count("That line was empty") == 2
    assert "was not UTF-8" in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()


@dataclass
class Keyboard:
    """A person at a terminal: types, and waits to see something."""

    terminal: int
    process: subprocess.Popen[bytes]
    seen: bytes = b""

    def type(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def see(self, text: str) -> None:
        """Wait for a text that comes after what was seen so far."""
        give_up = monotonic() + PATIENCE_S
        while text.encode() not in self.seen:
            wait_s = give_up - monotonic()
            assert select.select([self.terminal], [], [], max(wait_s, 0))[0], self.seen.decode()
            self.seen += os.read(self.terminal, 65_536)
        self.seen = self.seen.partition(text.encode())[2]

    def leave(self) -> int:
        """Read to the end, so that the process can write, and return its exit code."""
        with suppress(OSError):  # A terminal whose last user left.
            while chunk := os.read(self.terminal, 65_536):
                self.seen += chunk
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def keyboard(environment: Mapping[str, str]) -> Iterator[Keyboard]:
    here, there = pty.openpty()
    process = subprocess.Popen(CHAT, stdin=there, stdout=there, stderr=there, env=environment)
    os.close(there)
    yield Keyboard(here, process)
    if process.poll() is None:
        process.kill()
        process.wait()
    os.close(here)


def test_a_person_at_a_terminal_talks_and_leaves_with_ctrl_c(keyboard: Keyboard) -> None:
    keyboard.see("You:")
    keyboard.type("hello\r")
    keyboard.see("Chatbot:")
    keyboard.see("You:")
    keyboard.type("/mod")
    keyboard.see("/model list")
    keyboard.type("\x03")
    keyboard.type("\x03")

    assert keyboard.leave() == 0
    assert b"Goodbye!" in keyboard.seen
    assert b"Traceback" not in keyboard.seen


def test_a_comparison_tells_who_is_missing_and_answers_with_the_rest(
    environment: Mapping[str, str],
) -> None:
    models = ["--models", "fireside,flan-t5-small"]
    ended = piped([*COMPARE, "how old is the sun?", *models], b"", environment)

    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout.startswith(b"fireside: ")
    assert b"fireside models pull flan-t5-small" in ended.stderr
    assert b"tokens/s" in ended.stderr


def test_a_comparison_without_an_answer_fails(environment: Mapping[str, str]) -> None:
    ended = piped([*COMPARE, "why?", "--models", "flan-t5-small"], b"", environment)

    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"fireside models pull" in ended.stderr
