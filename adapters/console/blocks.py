"""CommonMark for a terminal: where its blocks begin, and how they look as rows.

Unlike Rich's own rendering it loses no HTML tag, breaks lines where the text does, shows where a
link leads, and leaves code on the terminal's own background.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme
from typing_extensions import override

from adapters.console.render import LABEL

CODE_THEME = "ansi_dark"
THEME = Theme({"markdown.code": "cyan", "markdown.h1": "bold underline"})
"""Rich's own, without its black background behind code."""
LABEL_STYLE = Style(color="green", bold=True)
ERROR_STYLE = Style(color="red", bold=True)
MARGIN = 4
NARROWEST_TEXT = 12
"""Where the margins of nested quotes and lists (at most `MARGIN` columns a level) leave less room
than this, a block is shown as it was written."""


TABLES = ["strikethrough", "table"]
HIDING = ["reference"]
"""A definition of a link's address would not be seen, and would change blocks above it."""


@cache
def _parser() -> MarkdownIt:
    return (
        MarkdownIt("commonmark", {"html": False, "maxNesting": 100}).enable(TABLES).disable(HIDING)
    )


def block_starts(text: str) -> list[int]:
    """Where the top-level blocks of a text begin, as offsets.

    Text that is added at the end can change the last block alone.
    """
    lines = {token.map[0] for token in _parser().parse(text) if token.level == 0 and token.map}
    offsets = [0]
    for line in text.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    return [offsets[line] for line in sorted(lines)]


def blocks(text: str) -> list[str]:
    """The top-level blocks of a text, without the blank lines around them."""
    bounds = [*block_starts(text), len(text)]
    return [text[start:end].strip("\n") for start, end in pairwise(bounds)]


def end_of_code(block: str, lines: int) -> str:
    """A fenced code block without all but its last lines; any other block as it is.

    Highlighting takes time for each line, and of a long block that grows only the end is seen.
    """
    if not block.startswith(("```", "~~~")):
        return block
    opening, *code = block.split("\n")
    return "\n".join([opening, *code[-lines:]])


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the screen: what to send, and the columns it fills."""

    ansi: str
    cells: int

    @classmethod
    def of(cls, text: str) -> "Row":
        """A row of unstyled text."""
        return cls(text, cell_len(text))


BLANK_ROW = Row("", 0)


def rows(
    console: Console, renderable: RenderableType, width: int, last: int | None = None
) -> list[Row]:
    """A renderable as rows of at most `width` columns; with `last` only so many from its end."""
    options = console.options.update(width=max(width, 1), height=None)
    lines = console.render_lines(renderable, options)[-last if last else 0 :]
    lines = [_without_trailing_spaces(line) for line in lines]
    with console.capture() as captured:
        console.print(_Lines(lines), no_wrap=True, crop=False, overflow="ignore", end="")
    # Rich ends every style within its own segment, so that each row stands for itself.
    ansi = captured.get().split("\n")
    return [
        Row(text, Segment.get_line_length(line)) for text, line in zip(ansi, lines, strict=False)
    ]


class Passage:
    """Some blocks of an answer; with `label` the first of them is opened by `Chatbot:`."""

    def __init__(self, source: str, label: Style | None = None, style: str = "none") -> None:
        self._source = source
        self._label = label
        self._style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's own protocol: the segments of the passage."""
        body = self._body(options.max_width)
        lines = _without_blank_ends(console.render_lines(body, options, pad=False))
        for index, line in enumerate(lines):
            yield from _labelled(line, self._label) if self._label and index == 0 else line
            yield Segment.line()

    def _body(self, width: int) -> "Markdown | Text":
        label = LABEL if self._label else None
        markdown = TerminalMarkdown(self._source, label, self._style)
        if width >= MARGIN * markdown.depth + NARROWEST_TEXT:
            return markdown
        return Text(f"{label} {self._source}" if label else self._source, style=self._style)


class TerminalMarkdown(Markdown):
    """Rich's Markdown with our parser and, before the first words, a label."""

    elements: ClassVar[dict[str, type[MarkdownElement]]]

    def __init__(self, source: str, label: str | None = None, style: str = "none") -> None:
        super().__init__("", code_theme=CODE_THEME, style=style, hyperlinks=False)
        self.markup = source
        self.parsed = list(_with_line_breaks(_parser().parse(source)))
        if label:
            self.parsed = _open_with(label, self.parsed)

    @property
    def depth(self) -> int:
        """How deep its blocks are nested."""
        return max((token.level for token in self.parsed), default=0)


class _LeftHeading(Heading):
    """A heading that starts at the left whatever its level."""

    LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = {}


class _BareCodeBlock(CodeBlock):
    """Code on the terminal's own background, set in by two columns."""

    @override
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Syntax(
            str(self.text).rstrip(),
            self.lexer_name,
            theme=self.theme,
            background_color="default",
            word_wrap=True,
            padding=(0, 2),
        )


TerminalMarkdown.elements = {
    **Markdown.elements,
    "heading_open": _LeftHeading,
    "fence": _BareCodeBlock,
    "code_block": _BareCodeBlock,
}


def _with_line_breaks(tokens: list[Token]) -> Iterator[Token]:
    """The tokens with every line end kept, and no address shown twice."""
    for token in tokens:
        for child in token.children or []:
            if child.type == "softbreak":
                child.type = "hardbreak"
        if token.children:
            token.children = list(_without_bare_links(token.children))
        yield token


def _without_bare_links(children: list[Token]) -> Iterator[Token]:
    """Leave out the link around an address that stands for itself (`<https://...>`)."""
    for child in children:
        if child.markup != "autolink":
            yield child


def _open_with(label: str, tokens: list[Token]) -> list[Token]:
    """Put the label before the words of a first paragraph, or else on a line of its own."""
    words = Token("text", "", 0, content=f"{label} ")
    if len(tokens) > 1 and tokens[0].type == "paragraph_open":
        tokens[1].children = [words, *(tokens[1].children or [])]
        return tokens
    alone = Token("inline", "", 0, content=label, children=[words])
    return [Token("paragraph_open", "p", 1), alone, Token("paragraph_close", "p", -1), *tokens]


def _labelled(line: list[Segment], style: Style) -> list[Segment]:
    """The line with its first words, the label, in that style."""
    ends = [cell_len(LABEL), max(Segment.get_line_length(line), cell_len(LABEL) + 1)]
    label, *rest = Segment.divide(line, ends)
    return [*Segment.apply_style(label, post_style=style), *(one for part in rest for one in part)]


def _without_trailing_spaces(line: list[Segment]) -> list[Segment]:
    while line and not line[-1].text.rstrip() and not _shows_spaces(line[-1].style):
        line = line[:-1]
    if line and not _shows_spaces(line[-1].style):
        line = [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)]
    return line


def _without_blank_ends(lines: list[list[Segment]]) -> list[list[Segment]]:
    """The lines without blank ones around them, but at least one."""
    filled = [
        index for index, line in enumerate(lines) if any(segment.text.strip() for segment in line)
    ]
    return lines[filled[0] : filled[-1] + 1] if filled else [[]]


def _shows_spaces(style: Style | None) -> bool:
    return style is not None and bool(style.bgcolor or style.underline or style.reverse)


class _Lines:
    """Lines of segments as a renderable."""

    def __init__(self, lines: list[list[Segment]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's own protocol: the segments themselves."""
        for line in self._lines:
            yield from line
            yield Segment.line()
