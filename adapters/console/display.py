"""How answers are shown, and the display that prints plain lines.

A display knows nothing of events and models. Each failing write is a `PlatformError`.
"""

from typing import Protocol, TextIO

from adapters.console.errors import terminal_errors
from adapters.console.render import plain
from adapters.console.safe_text import clean
from bot.adapter import Progress
from bot.messages import ReplyView


class Display(Protocol):
    """Where answers are shown. `reply` names one message of an answer."""

    @property
    def is_append_only(self) -> bool:
        """Whether nothing that was shown can be changed."""
        ...

    def show(self, reply: str, view: ReplyView) -> None:
        """Show a message as it is now."""
        ...

    def withdraw(self, reply: str) -> None:
        """Take a message back as far as that is possible."""
        ...

    def note(self, text: str) -> None:
        """Say something that is no answer."""
        ...

    def working(self, progress: Progress | None, tick: int) -> None:
        """Show that an answer is being made, and why it takes time; None clears the sign."""
        ...


class PlainDisplay:
    """Plain lines: each message at once when it is whole, or with `streams` as it grows."""

    def __init__(self, output: TextIO, notes: TextIO, streams: bool = False) -> None:
        self._output = output
        self._notes = notes
        self._streams = streams
        self._noted: set[str] = set()
        self._shown: dict[str, str] = {}

    @property
    def is_append_only(self) -> bool:
        """Always."""
        return True

    def show(self, reply: str, view: ReplyView) -> None:
        """Print what has become final; a footer goes once to the notes."""
        if view.is_complete:
            self._complete(reply, plain(view.text, view.index))
        elif self._streams:
            self._grow(reply, view)
        if view.is_last and view.footer and view.footer not in self._noted:
            self._noted.add(view.footer)
            self.note(view.footer)

    def withdraw(self, reply: str) -> None:
        """What is printed stays; a line that was not finished ends."""
        if not self._shown.pop(reply, "\n").endswith("\n"):
            self._print("\n")

    def note(self, text: str) -> None:
        """Say it beside the answers, so that scripts read answers alone."""
        with terminal_errors():
            self._notes.write(f"{clean(text)}\n")
            self._notes.flush()

    def working(self, progress: Progress | None, tick: int) -> None:
        """There is no place for it."""

    def _grow(self, reply: str, view: ReplyView) -> None:
        """Print what is new of the part that cannot change."""
        stable = view.text[: view.stable_chars]
        shown = self._shown.get(reply, "")
        text = plain(stable, view.index)
        if stable.strip() and text.startswith(shown):
            self._print(text[len(shown) :])
            self._shown[reply] = text

    def _complete(self, reply: str, text: str) -> None:
        """Print the rest, or all of it anew where it is not what was printed before."""
        line, shown = f"{text}\n", self._shown.get(reply, "")
        if line.startswith(shown):
            self._print(line[len(shown) :])
        else:
            self._print(line if shown.endswith("\n") else f"\n{line}")
        self._shown[reply] = line

    def _print(self, text: str) -> None:
        with terminal_errors():
            self._output.write(text)
            self._output.flush()
