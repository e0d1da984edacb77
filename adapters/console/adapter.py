"""The terminal as an adapter: one process, one conversation, one question at a time."""

import asyncio
import getpass
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TextIO
from uuid import uuid4

from typing_extensions import override

from adapters.console.display import Display, PlainDisplay
from adapters.console.errors import abandon
from adapters.console.history import Transcript
from adapters.console.lines import DescriptorLines, LineSource
from adapters.console.parse import LineParser, Seat, is_quit
from adapters.console.render import goodbye
from adapters.console.settings import Settings
from bot.adapter import Adapter, Capabilities, Progress, Services, WorkingIndicator
from bot.errors import PlatformError, UserFacingError
from bot.messages import (
    Author,
    CommandInvoked,
    ConversationRef,
    IncomingMessage,
    ReplyTarget,
    ReplyView,
)
from bot.translations import gettext as _

PLATFORM = "console"
MAX_CHARS = 1_000_000
EDIT_INTERVAL_S = 0.03
SPINNER_INTERVAL_S = 0.1


class _Pending:
    """The question that waits for its answer."""

    def __init__(self, handle: str) -> None:
        self.handle = handle
        self.is_answered = False
        self.interrupts = 0
        self.has_changed = asyncio.Event()

    def answered(self) -> None:
        self.is_answered = True
        self.has_changed.set()

    def interrupt(self) -> None:
        self.interrupts += 1
        self.has_changed.set()


class ConsoleAdapter(Adapter):
    """Reads lines, shows answers. `now` gives aware UTC times; `on_closed` is called at the end
    if the output was closed from the other side."""

    def __init__(
        self,
        services: Services,
        lines: LineSource,
        display: Display,
        seat: Seat,
        now: Callable[[], datetime],
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._services = services
        self._lines = lines
        self._display = display
        self._account = seat.conversation.channel_id
        self._parser = LineParser(services.commands, seat, now)
        self._on_closed = on_closed
        self._transcript = Transcript()
        self._posted: dict[str, str] = {}
        self._pending: _Pending | None = None
        self._is_closed = False
        self._said = 0

    @property
    @override
    def capabilities(self) -> Capabilities:
        """A terminal can draw anew; a pipe can only be appended to."""
        return Capabilities(
            platform=PLATFORM,
            max_chars=MAX_CHARS,
            edit_interval_s=EDIT_INTERVAL_S,
            is_append_only=self._display.is_append_only,
            tells_progress=True,
            reader=self._transcript,
        )

    @property
    @override
    def account(self) -> str:
        """Each chat is an account of its own, so that chats run side by side."""
        return self._account

    @override
    async def run(self) -> None:
        """Deliver one line after another until the member leaves or the output is closed."""
        try:
            while (line := await self._lines.read_line()) is not None and not is_quit(line):
                if not await self._exchange(line):
                    break
            self._say(goodbye())
        except PlatformError:
            self._close()
        if self._is_closed:
            self._on_closed()

    @override
    async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        """Show a message of a reply; posted again with its key it is shown anew, not twice."""
        message_id = self._posted.setdefault(key, f"{target.handle}.{view.index}.{key}")
        await self._show(target, message_id, view)
        return message_id

    @override
    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        """Show a message as it is now; None withdraws it."""
        if message_id not in self._posted.values():
            raise PlatformError(f"no such message: {message_id}")
        await self._show(target, message_id, view)

    @override
    async def find_reply(self, target: ReplyTarget, key: str) -> str | None:
        """What this process posted; nothing is left of earlier ones."""
        return self._posted.get(key)

    @override
    @asynccontextmanager
    async def working(self, target: ReplyTarget) -> AsyncGenerator[WorkingIndicator, None]:
        """A spinner, and a bar while a model loads."""
        sign = _WorkingSign(self._display)
        try:
            yield sign
        finally:
            sign.end()

    async def _exchange(self, line: str) -> bool:
        """Hand over one line and wait for its answer; False if the member wants to leave."""
        try:
            event = self._parser.parse(line)
            if event is None:
                self._display.note(_("That line was empty: type a question, or quit to leave."))
                return True
            return await self._answered(event)
        except UserFacingError as error:
            self._say(error.text, is_error=True)
            return True

    async def _answered(self, event: IncomingMessage | CommandInvoked) -> bool:
        if isinstance(event, IncomingMessage):
            self._transcript.add(event)
        self._pending = pending = _Pending(event.target.handle)
        try:
            with self._lines.listening(pending.interrupt):
                await self._services.submit(event)
                return await self._wait(pending, event)
        finally:
            self._pending = None

    async def _wait(self, pending: _Pending, event: IncomingMessage | CommandInvoked) -> bool:
        """Wait for the last message; the first Ctrl-C stops the answer, the second leaves."""
        is_stopping = False
        while not pending.is_answered and pending.interrupts < 2 and not self._is_closed:
            await pending.has_changed.wait()
            pending.has_changed.clear()
            if pending.interrupts and not is_stopping and not pending.is_answered:
                is_stopping = True
                await self._services.submit(self._parser.stop(event))
        return pending.interrupts < 2 and not self._is_closed

    async def _show(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        def write() -> None:
            if view is None:
                self._display.withdraw(message_id)
            else:
                self._display.show(message_id, view)

        try:
            await self._lines.undisturbed(write)
        except PlatformError:
            self._close()
            raise
        is_awaited = self._pending is not None and self._pending.handle == target.handle
        if self._pending and is_awaited and view and view.is_last and view.is_complete:
            self._pending.answered()

    def _close(self) -> None:
        """The output is gone: nobody reads any more."""
        self._is_closed = True
        if self._pending:
            self._pending.has_changed.set()

    def _say(self, text: str, is_error: bool = False) -> None:
        """Show an answer of the terminal's own."""
        self._said += 1
        view = ReplyView(
            text, stable_chars=len(text), is_complete=True, is_last=True, is_error=is_error
        )
        self._display.show(f"own-{self._said}", view)


class _WorkingSign:
    """Turns while the block lasts, on the loop's own clock."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._progress = Progress(_("thinking"))
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._turn()

    async def update(self, progress: Progress) -> None:
        """Show why the answer takes time."""
        self._progress = progress

    def end(self) -> None:
        """Stop and wipe the sign."""
        if self._timer:
            self._timer.cancel()
        with suppress(PlatformError):
            self._display.working(None, self._ticks)

    def _turn(self) -> None:
        self._ticks += 1
        with suppress(PlatformError):
            self._display.working(self._progress, self._ticks)
            self._timer = asyncio.get_running_loop().call_later(SPINNER_INTERVAL_S, self._turn)


def build(settings: Settings, services: Services) -> ConsoleAdapter:
    """The adapter over this process's standard streams."""
    _replace_unencodable(sys.stdout, sys.stderr)
    has_keyboard = sys.stdin is not None and sys.stdin.isatty()
    if has_keyboard and sys.stdout.isatty():
        lines, display = _at_a_terminal(settings, services)
    else:
        display = PlainDisplay(sys.stdout, sys.stderr)
        lines = _piped_lines(display, has_keyboard)
    return ConsoleAdapter(
        services, lines, display, _seat(), lambda: datetime.now(UTC), lambda: abandon(sys.stdout)
    )


def _at_a_terminal(settings: Settings, services: Services) -> tuple[LineSource, Display]:
    # Imported here: pipes need neither prompt_toolkit nor Rich.
    from rich.console import Console

    from adapters.console.blocks import THEME
    from adapters.console.drawing import TerminalDisplay
    from adapters.console.prompt import PromptLines

    console = Console(file=sys.stdout, highlight=False, theme=THEME)
    can_draw = settings.markdown and not console.is_dumb_terminal
    plain = PlainDisplay(sys.stdout, sys.stderr, streams=True)
    return PromptLines(services), TerminalDisplay(console) if can_draw else plain


def _piped_lines(display: Display, has_keyboard: bool) -> DescriptorLines:
    descriptor = os.open(os.devnull, os.O_RDONLY) if sys.stdin is None else sys.stdin.fileno()
    return DescriptorLines(
        descriptor,
        before_read=_prompt_beside if has_keyboard else lambda: None,
        on_undecodable=lambda: display.note(
            _("Some of the input was not UTF-8 text: those bytes were replaced by \ufffd.")
        ),
    )


def _prompt_beside() -> None:
    """Ask on standard error where standard output goes elsewhere."""
    sys.stderr.write("You: ")
    sys.stderr.flush()


def _replace_unencodable(*outputs: TextIO) -> None:
    for output in outputs:
        if isinstance(output, TextIOWrapper):
            output.reconfigure(errors="replace")


def _seat() -> Seat:
    name = f"{PLATFORM}-{uuid4()}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "you"  # A container's user without an entry in the password file.
    return Seat(
        Author(id=user, name=user, can_manage=True),
        ConversationRef(PLATFORM, "local", name, is_direct=True),
    )
