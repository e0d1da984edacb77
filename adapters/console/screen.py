"""The live end of a terminal's output: rows that may still change, drawn over themselves.

Rows above them were printed once and for ever. Control sequences: ECMA-48 CUU, EL and ED.
"""

from collections.abc import Callable, Sequence
from typing import IO

from adapters.console.blocks import Row
from adapters.console.errors import terminal_errors

Size = tuple[int, int]
"""Columns and rows."""

_ERASE_BELOW = "\x1b[J"
_ERASE_TO_THE_RIGHT = "\x1b[K"


class LiveRegion:
    """The rows at the end of the output; the cursor rests behind the last of them."""

    def __init__(self, output: IO[str], size: Callable[[], Size]) -> None:
        self._output = output
        self._size = size
        self._shown: list[Row] = []
        self._columns = 0

    def draw(self, finished: Sequence[Row], live: Sequence[Row]) -> None:
        """Replace the live rows by `finished`, which stay for ever, and new live ones.

        Of live rows that do not fit on the screen only the last are shown.
        """
        columns, height = self._size()
        live = _last_that_fit(live, columns, max(height - 1, 1))
        self._send(self._sequence([*finished, *live], columns, ends_line=not live))
        self._shown = list(live)
        self._columns = columns

    def settle(self) -> None:
        """Leave the live rows as they are and go on below them."""
        if self._shown:
            self._send("\n")
        self._shown = []

    def _sequence(self, rows: Sequence[Row], columns: int, ends_line: bool) -> str:
        pieces = [self._to_the_top(columns)]
        is_resized = columns != self._columns
        if is_resized and self._shown:
            pieces.append(_ERASE_BELOW)
        for index, row in enumerate(rows):
            is_last = index == len(rows) - 1
            is_unchanged = row in self._shown[index : index + 1] and _height(row, columns) == 1
            if is_last or is_resized or not is_unchanged:
                pieces += [row.ansi, _ERASE_TO_THE_RIGHT]
            pieces.append("" if is_last and not ends_line else "\n")
        if len(rows) < len(self._shown):
            pieces.append(_ERASE_BELOW)
        return "".join(pieces)

    def _to_the_top(self, columns: int) -> str:
        """Move to the first live row; a terminal that became narrower has broken long ones."""
        up = sum(_height(row, columns) for row in self._shown) - 1
        return f"\r\x1b[{up}A" if up > 0 else "\r" if self._shown else ""

    def _send(self, text: str) -> None:
        with terminal_errors():
            self._output.write(text)
            self._output.flush()


def _height(row: Row, columns: int) -> int:
    return max(-(-row.cells // max(columns, 1)), 1)


def _last_that_fit(rows: Sequence[Row], columns: int, height: int) -> list[Row]:
    fitting: list[Row] = []
    for row in reversed(rows):
        height -= _height(row, columns)
        if height < 0 and fitting:
            break
        fitting.append(row)
    return fitting[::-1]
