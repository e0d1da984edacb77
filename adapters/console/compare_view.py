"""The answers of several models: side by side on a terminal, one after another in a pipe."""

import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from adapters.console.blocks import ERROR_STYLE, LABEL_STYLE, THEME, Passage, blocks, rows
from adapters.console.errors import terminal_errors
from adapters.console.render import plain
from adapters.console.safe_text import clean
from adapters.console.screen import LiveRegion
from bot.comparison.run import Comparison, Contestant, ModelEvent
from bot.translations import gettext as _

NARROWEST_COLUMN = 28
REDRAW_INTERVAL_S = 0.05


class ComparisonView(Protocol):
    """Where a comparison is shown."""

    def show(self, comparison: Comparison, changed: Contestant | None, time_s: float) -> None:
        """Show it as it is now; `changed` is who said something."""
        ...

    def end(self, comparison: Comparison) -> None:
        """Show it for the last time."""
        ...


async def show(events: AsyncGenerator[ModelEvent, None], models: Sequence[str]) -> bool:
    """Follow a comparison on standard output; False if no model answered."""
    console = Console(highlight=False, theme=THEME)
    can_draw = console.is_terminal and not console.is_dumb_terminal
    view = DrawnComparison(console) if can_draw else PlainComparison(sys.stdout, sys.stderr)
    return await follow(events, models, view, time.monotonic)


async def follow(
    events: AsyncGenerator[ModelEvent, None],
    models: Sequence[str],
    view: ComparisonView,
    clock: Callable[[], float],
) -> bool:
    """Show each event; whatever ends it, the last state is shown and the models are stopped."""
    comparison = Comparison(models, clock())
    view.show(comparison, None, clock())
    try:
        async with aclosing(events):
            async for model, event in events:
                now_s = clock()
                view.show(comparison, comparison.apply(model, event, now_s), now_s)
    finally:
        view.end(comparison)
    return any(contestant.has_answered for contestant in comparison.contestants)


class PlainComparison:
    """`MODEL: answer` for each model once it is whole; times and failures go to the notes."""

    def __init__(self, output: TextIO, notes: TextIO) -> None:
        self._output = output
        self._notes = notes

    def show(self, comparison: Comparison, changed: Contestant | None, time_s: float) -> None:
        """Print an answer that has just ended."""
        if changed is None or not changed.finished:
            return
        label = f"{changed.model}:"
        if changed.has_answered:
            self._print(self._output, plain(changed.text, label=label))
        self._print(self._notes, plain(changed.error or _standing(changed), label=label))

    def end(self, comparison: Comparison) -> None:
        """Everything was printed when it was whole."""

    def _print(self, output: TextIO, text: str) -> None:
        with terminal_errors():
            output.write(f"{text}\n")
            output.flush()


class DrawnComparison:
    """One column a model while there is room, else one below the other; redrawn as they grow."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._region = LiveRegion(console.file, lambda: (console.width, console.height))
        self._next_draw_s = 0.0

    def show(self, comparison: Comparison, changed: Contestant | None, time_s: float) -> None:
        """Draw it, not more often than an eye can follow."""
        if time_s >= self._next_draw_s or (changed and changed.finished):
            self._next_draw_s = time_s + REDRAW_INTERVAL_S
            width = self._console.width - 1
            drawing = rows(self._console, drawn(comparison.contestants, width), width)
            self._region.draw([], drawing)

    def end(self, comparison: Comparison) -> None:
        """Draw all of it, for ever, however long it is."""
        width = self._console.width - 1
        self._region.draw(rows(self._console, drawn(comparison.contestants, width), width), [])


def drawn(contestants: Sequence[Contestant], width: int) -> RenderableType:
    """The contestants side by side, or one below the other where columns would be too narrow."""
    if width >= NARROWEST_COLUMN * len(contestants):
        return _table(contestants)
    return Group(*(_table([contestant]) for contestant in contestants))


def _table(contestants: Sequence[Contestant]) -> Table:
    table = Table(box=box.ROUNDED, expand=True, border_style="dim")
    for contestant in contestants:
        table.add_column(Text(contestant.model, LABEL_STYLE), ratio=1, overflow="fold")
    table.add_row(*(_answer(contestant) for contestant in contestants), end_section=True)
    table.add_row(*(Text(_standing(contestant), "dim") for contestant in contestants))
    return table


def _answer(contestant: Contestant) -> RenderableType:
    if contestant.error:
        return Group(_text(contestant), Text(clean(contestant.error), ERROR_STYLE))
    return _text(contestant)


def _text(contestant: Contestant) -> RenderableType:
    pieces = blocks(clean(contestant.text))
    spaced = [one for piece in pieces for one in (Text(""), Passage(piece))]
    return Group(*spaced[1:])


def _standing(contestant: Contestant) -> str:
    """Where a contestant stands: waiting, loading, answering, or done in what time."""
    if contestant.finished is None:
        if contestant.loaded is not None:
            return _("loading, {share:.0%}").format(share=contestant.loaded)
        return _("waiting") if contestant.began_s is None else _("answering")
    if not contestant.has_answered:
        return _("no answer")
    seconds = _("{seconds:.1f} s").format(seconds=contestant.duration_s or 0.0)
    if contestant.tokens_per_s is None:
        return seconds
    speed = _("{speed:.1f} tokens/s").format(speed=contestant.tokens_per_s)
    return f"{seconds}, {speed}"
