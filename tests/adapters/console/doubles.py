"""A terminal and a keyboard for tests: an emulator that is strict, and lines typed on demand."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from io import StringIO
from itertools import count

from rich.cells import cell_len
from rich.console import Console
from typing_extensions import override

from adapters.console.adapter import ConsoleAdapter
from adapters.console.blocks import THEME
from adapters.console.display import Display
from adapters.console.lines import LineSource
from adapters.console.parse import Seat
from bot.messages import Author, CommandInvoked, ConversationRef, IncomingMessage, ReplyView
from tests.contract.recording_services import RecordingServices

SEAT = Seat(
    Author("ann", "Ann", can_manage=True),
    ConversationRef("console", "local", "console-1", is_direct=True),
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n])|(.)", re.DOTALL)


class VirtualTerminal(StringIO):
    """What a terminal shows of what is written to it, with all that has scrolled away.

    It refuses what a real one would do differently than meant: moving above the screen, and any
    control sequence but SGR, CUU, EL and ED.
    """

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        super().__init__()
        self.columns = columns
        self.rows = rows
        self._lines: list[list[str]] = [[]]
        self._row = 0
        self._column = 0

    @override
    def write(self, text: str) -> int:
        for arguments, final, line_end, character, other in _TOKEN.findall(text):
            assert not other, f"a terminal must not be sent {other!r}"
            if final:
                self._control(arguments, final)
            elif line_end:
                self._end_line(line_end)
            else:
                self._put(character)
        return len(text)

    def screen(self) -> list[str]:
        """All lines, those scrolled away first, without trailing spaces."""
        lines = ["".join(line).rstrip() for line in self._lines]
        return lines[: max((index for index, line in enumerate(lines, 1) if line), default=0)]

    def text(self) -> str:
        """All that is shown, lines joined where they were wrapped or broken."""
        return "\n".join(self.screen())

    def reflow(self) -> None:
        """Break the lines anew at the present width, as most terminals do."""
        broken = [
            line[start : start + self.columns]
            for line in self._lines
            for start in range(0, max(len(line), 1), self.columns)
        ]
        self._lines = broken
        self._row, self._column = len(broken) - 1, len(broken[-1])

    def _control(self, arguments: str, final: str) -> None:
        match final:
            case "m":
                return
            case "A":
                self._row -= int(arguments)
                top = max(len(self._lines) - self.rows, 0)
                assert self._row >= top, "moved above the screen"
            case "K":
                del self._lines[self._row][self._column :]
            case "J":
                del self._lines[self._row][self._column :]
                del self._lines[self._row + 1 :]
            case _:
                raise AssertionError(f"unknown control sequence {arguments}{final}")

    def _end_line(self, character: str) -> None:
        self._column = 0
        if character == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append([])

    def _put(self, character: str) -> None:
        width = cell_len(character)
        assert character.isprintable() or character in "\u200d\u200f", repr(character)
        if width == 0 and self._column == 0:
            return  # There is nothing for a combining mark to stand on.
        if width == 0:
            self._lines[self._row][self._column - 1] += character
            return
        if self._column + width > self.columns:
            self._end_line("\n")
        line = self._lines[self._row]
        line.extend(" " * (self._column - len(line)))
        line[self._column : self._column + width] = [character] + [""] * (width - 1)
        self._column += width


def console_on(terminal: VirtualTerminal) -> Console:
    """Rich over a virtual terminal, as wide and as high as that is."""
    return Console(
        file=terminal,
        force_terminal=True,
        color_system="truecolor",
        width=terminal.columns,
        height=terminal.rows,
        highlight=False,
        theme=THEME,
    )


class TypedLines(LineSource):
    """Lines that a test types; `interrupt` is Ctrl-C while an answer is made."""

    def __init__(self) -> None:
        self._typed: asyncio.Queue[str | None] = asyncio.Queue(100)
        self.interrupt: Callable[[], None] | None = None

    def type(self, line: str | None) -> None:
        """Type a line; None is the end of input."""
        self._typed.put_nowait(line)

    @override
    async def read_line(self) -> str | None:
        return await self._typed.get()

    @override
    @contextmanager
    def listening(self, on_interrupt: Callable[[], None]) -> Generator[None, None, None]:
        self.interrupt = on_interrupt
        yield
        self.interrupt = None

    @override
    async def undisturbed(self, write: Callable[[], None]) -> None:
        write()


class ConsoleDouble:
    """A console adapter that runs over typed lines and some display."""

    def __init__(self, display: Display, shown: Callable[[], str]) -> None:
        self.services = RecordingServices()
        self.lines = TypedLines()
        self.shown = shown
        self.closed = 0
        self.adapter = ConsoleAdapter(
            self.services, self.lines, display, SEAT, lambda: NOW, self._close
        )

    def _close(self) -> None:
        self.closed += 1

    async def say(self, text: str) -> IncomingMessage:
        """Type a question; what was submitted of it."""
        number = len(self.services.submitted) + 1
        self.lines.type(text)
        event = await self.services.arrival(number)
        assert isinstance(event, IncomingMessage)
        return event

    async def command(self, name: str, arguments: Mapping[str, str]) -> CommandInvoked:
        """Type a command; what was submitted of it."""
        known = self.services.commands.get(name).parameters
        words = [
            word
            for parameter in known
            if parameter.name in arguments
            for word in (parameter.keyword, arguments[parameter.name])
            if word
        ]
        number = len(self.services.submitted) + 1
        self.lines.type(" ".join([f"/{name}", *words]))
        event = await self.services.arrival(number)
        assert isinstance(event, CommandInvoked)
        return event

    async def files(self) -> Mapping[str, str]:
        """A terminal has none."""
        return {}

    async def answer(self, text: str, footer: str | None = None) -> None:
        """Answer the last question."""
        event = self.services.submitted[-1]
        assert isinstance(event, IncomingMessage | CommandInvoked)
        view = ReplyView(
            text, stable_chars=len(text), is_complete=True, is_last=True, footer=footer
        )
        await self.adapter.post(event.target, view, f"key-{next(_KEYS)}")


_KEYS = count()


@asynccontextmanager
async def running(double: ConsoleDouble) -> AsyncGenerator[asyncio.Task[None], None]:
    """Run the adapter beside a test; at the end its member leaves."""
    task = asyncio.create_task(double.adapter.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
