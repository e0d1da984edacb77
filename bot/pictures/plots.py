"""How pictures are drawn: matplotlib on the Agg backend, a figure in and a PNG out.

Imported in the picture worker alone, when the first picture is wanted (see `worker.py`).
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# matplotlib's interface is only partly typed.

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyBboxPatch

from bot.translations import gettext as _

DPI = 150
WIDTH = 8.0
"""Inches: 1200 pixels, sharp on a phone and on a wide screen."""

PAPER, CARD, INK, FAINT = "#fbf6ee", "#ffffff", "#2b2320", "#8a7d74"
EMBER, ASH = "#d9622b", "#d8cec4"

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that a picture looks the same everywhere."""

GROUPS_IN_ROW = 3
GROUP_HEIGHT = 1.5

MISSING = "\N{WHITE VERTICAL RECTANGLE}"
LINE = 0.235
"""The height of a line of text, in inches."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it stands for, how long it is, and what is written behind it."""

    label: str
    value: float
    note: str
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One answer on a card."""

    title: str
    text: str
    note: str
    is_marked: bool = False


def bars(title: str, subtitle: str, rows: Sequence[Bar]) -> bytes:
    """Horizontal bars, the first one at the top; they begin at 0."""
    height = 1.35 + 0.42 * len(rows)
    figure, axes = _paper(height)
    _say(axes, 0.4, height - 0.52, title, size=17, weight="bold")
    _say(axes, 0.4, height - 0.85, subtitle, size=9.5, color=FAINT)
    label_width = min(0.25 + 0.1 * max(len(row.label) for row in rows), 2.9)
    left, right = 0.4 + label_width, WIDTH - 1.75
    longest = max(max(row.value for row in rows), 1e-9)
    for index, row in enumerate(rows):
        y = height - 1.35 - 0.42 * index
        length = (right - left) * max(row.value, 0.0) / longest
        color = EMBER if row.is_marked else ASH
        axes.barh(y, length, height=0.26, left=left, color=color)
        _say(axes, left - 0.12, y, _cut(row.label, 27), size=10.5, ha="right")
        _say(axes, left + length + 0.1, y, row.note, size=9.5, color=FAINT)
    return _png(figure)


def card(title: str, panels: Sequence[Panel], closing: str) -> bytes:
    """A question and its answers, one below the other."""
    heading = _wrapped(title, 58, 3)
    texts = [_wrapped(panel.text, 88, 7) for panel in panels]
    heights = [0.72 + LINE * len(text) for text in texts]
    top = 0.55 + 0.36 * len(heading)
    height = top + sum(heights) + 0.16 * len(panels) + 0.5
    figure, axes = _paper(height)
    for index, line in enumerate(heading):
        _say(axes, 0.4, height - 0.52 - 0.36 * index, line, size=16, weight="bold")
    y = height - top
    for panel, text, tall in zip(panels, texts, heights, strict=True):
        _panel(axes, panel, text, y, tall)
        y -= tall + 0.16
    _say(axes, 0.4, 0.28, closing, size=8.5, color=FAINT)
    return _png(figure)


def next_words(title: str, subtitle: str, groups: Sequence[Sequence[Bar]]) -> bytes:
    """A small chart for each place in a row of words: shares between 0 and 1, three in a row."""
    rows = -(-len(groups) // GROUPS_IN_ROW)
    height = 1.15 + rows * GROUP_HEIGHT
    figure, axes = _paper(height)
    _say(axes, 0.4, height - 0.5, title, size=15, weight="bold")
    _say(axes, 0.4, height - 0.82, subtitle, size=9, color=FAINT)
    width = (WIDTH - 0.8) / GROUPS_IN_ROW
    for index, group in enumerate(groups):
        left = 0.4 + width * (index % GROUPS_IN_ROW)
        top = height - 1.2 - GROUP_HEIGHT * (index // GROUPS_IN_ROW)
        _say(axes, left, top, f"{index + 1}.", size=9, color=FAINT)
        for place, bar in enumerate(group):
            y = top - 0.25 * place
            length = (width - 1.75) * bar.value
            color = EMBER if bar.is_marked else ASH
            weight = "bold" if bar.is_marked else "normal"
            _say(axes, left + 1.1, y, _cut(bar.label, 11), size=9, ha="right", weight=weight)
            axes.barh(y, length, height=0.15, left=left + 1.18, color=color)
            _say(axes, left + 1.23 + length, y, bar.note, size=7.5, color=FAINT)
    return _png(figure)


def _panel(axes: Axes, panel: Panel, text: Sequence[str], top: float, tall: float) -> None:
    edge = EMBER if panel.is_marked else ASH
    box = FancyBboxPatch(
        (0.45, top - tall + 0.05),
        WIDTH - 0.9,
        tall - 0.1,
        boxstyle="round,pad=0.05,rounding_size=0.12",
        facecolor=CARD,
        edgecolor=edge,
        linewidth=2.2 if panel.is_marked else 1.0,
    )
    axes.add_patch(box)
    color = EMBER if panel.is_marked else INK
    _say(axes, 0.65, top - 0.3, panel.title, size=11.5, weight="bold", color=color)
    _say(axes, WIDTH - 0.65, top - 0.3, panel.note, size=9, color=FAINT, ha="right")
    for index, line in enumerate(text):
        _say(axes, 0.65, top - 0.62 - LINE * index, line, size=10.5)


def _paper(height: float) -> tuple[Figure, Axes]:
    """An empty picture whose coordinates are inches from its lower left corner."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, height)
    return figure, axes


def _say(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    weight: str = "normal",
    color: str = INK,
    ha: str = "left",
) -> None:
    """Write one line. Dollar signs are no formulas, whatever a model says."""
    axes.text(
        x,
        y,
        _printable(text),
        fontsize=size,
        fontweight=weight,
        fontfamily=FONT,
        color=color,
        ha=ha,
        va="center",
        parse_math=False,
    )


def _printable(text: str) -> str:
    """The text with a box for each character that the font does not have."""
    known = get_font(findfont(FontProperties(family=FONT))).get_charmap()
    spaced = text.replace("\t", "    ").replace("\n", " ")
    return "".join(one if ord(one) in known else MISSING for one in spaced)


def _wrapped(text: str, width: int, most: int) -> list[str]:
    """The text in lines, the last of `most` with an ellipsis where more would follow."""
    lines = [line for part in text.splitlines() for line in wrap(part, width) or [""]] or [""]
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1][: width - 2]} …"]
    return lines


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _png(figure: Figure) -> bytes:
    data = BytesIO()
    figure.savefig(data, format="png", facecolor=PAPER, metadata={"Software": _("Fireside")})
    return data.getvalue()
