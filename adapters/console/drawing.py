"""The display that draws on a terminal: Markdown that grows, a spinner, a progress bar."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console
from rich.style import Style
from rich.text import Text

from adapters.console.blocks import (
    BLANK_ROW,
    ERROR_STYLE,
    LABEL_STYLE,
    Passage,
    Row,
    block_starts,
    blocks,
    end_of_code,
    rows,
)
from adapters.console.render import LABEL
from adapters.console.safe_text import clean
from adapters.console.screen import LiveRegion
from bot.adapter import Progress
from bot.messages import ReplyView
from bot.translations import gettext as _

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
BAR_CELLS = 24
PAUSE_FACTOR = 5
"""Drawing may take a fifth of the time: the rest belongs to whoever writes the answer."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The message at the end of the screen and what of it is printed for ever (as clean text)."""

    reply: str
    printed: str = ""
    is_complete: bool = False


class TerminalDisplay:
    """Finished blocks of an answer are printed once; the last one is redrawn while it grows."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._next_draw_s = 0.0
        self._region = LiveRegion(console.file, lambda: (console.width, console.height))
        self._drawn: _Drawn | None = None

    @property
    def is_append_only(self) -> bool:
        """No: the last block can still change."""
        return False

    def show(self, reply: str, view: ReplyView) -> None:
        """Draw the message; where it changed above its last block it is printed anew."""
        text = _opening(clean(view.text))
        drawn = self._drawn if self._drawn and self._drawn.reply == reply else None
        if drawn is None or not text.startswith(drawn.printed):
            self._settle()
            drawn = _Drawn(reply)
        if not drawn.is_complete:
            self._draw_in_turn(drawn, text, view)
        elif text != drawn.printed:
            self._draw(_Drawn(reply), text, view)

    def withdraw(self, reply: str) -> None:
        """Wipe what is live of it, and say so where it stands on the screen for ever."""
        drawn = self._drawn
        is_live = drawn is not None and drawn.reply == reply and not drawn.is_complete
        if is_live:
            self._region.draw([], [])
            self._drawn = None
        if not is_live or (drawn and drawn.printed):
            self.note(_("(That answer was withdrawn.)"))

    def note(self, text: str) -> None:
        """A dim line of its own."""
        self._settle()
        self._region.draw(self._dim_rows(text), [])

    def working(self, progress: Progress | None, tick: int) -> None:
        """A spinner, or a bar where it is known how far the work is."""
        if self._drawn and not self._drawn.is_complete:
            return  # The answer itself shows that work goes on.
        live = [] if progress is None else rows(self._console, _sign(progress, tick), self._width)
        self._region.draw([], live[:1])

    @property
    def _width(self) -> int:
        # The last column stays free: a full row leaves the cursor in a state of its own.
        return max(self._console.width - 1, 1)

    def _draw_in_turn(self, drawn: _Drawn, text: str, view: ReplyView) -> None:
        """Draw it now, or leave it to the next view where drawing would take most of the time."""
        began_s = self._clock()
        if view.is_complete or drawn != self._drawn or began_s >= self._next_draw_s:
            self._draw(drawn, text, view)
            self._next_draw_s = began_s + PAUSE_FACTOR * (self._clock() - began_s)

    def _draw(self, drawn: _Drawn, text: str, view: ReplyView) -> None:
        start = len(drawn.printed)
        end = len(text) if view.is_complete else self._finished(text, start, view)
        has_finished = view.is_complete or end > start
        finished = self._rows(text[start:end], start, view) if has_finished else []
        live = [] if view.is_complete else self._rows(text[end:], end, view, self._console.height)
        if view.is_complete and view.is_last and view.footer:
            finished += self._dim_rows(view.footer)
        self._region.draw(finished, live)
        self._drawn = replace(drawn, printed=text[:end], is_complete=view.is_complete)

    def _finished(self, text: str, start: int, view: ReplyView) -> int:
        """Where the blocks end that cannot change any more."""
        stable = len(_opening(clean(view.text[: view.stable_chars])))
        starts = [start + offset for offset in block_starts(text[start:])]
        return max((one for one in starts if one <= stable), default=start)

    def _rows(self, piece: str, offset: int, view: ReplyView, last: int | None = None) -> list[Row]:
        """The rows of a piece of the message; the one that begins it carries the label."""
        drawn: list[Row] = []
        nothing_yet = [""] if offset == 0 else []
        for index, block in enumerate(blocks(piece) or nothing_yet):
            source = block if last is None else end_of_code(block, last)
            is_first = offset == 0 and index == 0
            if not is_first:
                drawn.append(BLANK_ROW)
            passage = Passage(source, _label(view) if is_first else None)
            drawn += rows(self._console, passage, self._width, last)
        return drawn

    def _dim_rows(self, text: str) -> list[Row]:
        return rows(self._console, Passage(clean(text), style="dim"), self._width)

    def _settle(self) -> None:
        """Go on below an answer that is not finished; wipe a sign of work."""
        if self._drawn and not self._drawn.is_complete:
            self._region.settle()
        else:
            self._region.draw([], [])
        self._drawn = None


def _opening(text: str) -> str:
    """The text from its first line that is not blank."""
    return re.sub(r"\A([ \t]*\n)+", "", text)


def _label(view: ReplyView) -> Style | None:
    if view.index > 0:
        return None
    return ERROR_STYLE if view.is_error else LABEL_STYLE


def _sign(progress: Progress, tick: int) -> Text:
    text = Text.assemble((LABEL, LABEL_STYLE), " ")
    if progress.fraction is None:
        return text.append(f"{SPINNER[tick % len(SPINNER)]} {clean(progress.text)}", style="dim")
    share = min(max(progress.fraction, 0.0), 1.0)
    full = round(share * BAR_CELLS)
    text.append(f"{clean(progress.text)} ")
    text.append("━" * full, style="green").append("━" * (BAR_CELLS - full), style="dim")
    return text.append(f" {share:4.0%}")
