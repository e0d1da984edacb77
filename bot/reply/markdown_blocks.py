"""The code fences of a CommonMark text and the quotations and list items they are in (pure).

What counts as which is decided by markdown-it-py, a CommonMark parser; this module finds out how
each is closed and opened again.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MAX_LANGUAGE_CHARS = 30
_QUOTE = "> "


@dataclass(frozen=True, slots=True)
class Container:
    """A quotation or a list item on the lines from `first` up to `end`, without the latter.

    `mark` opens it again, as wide as where it was opened: a list item's further lines are indented
    by that width (CommonMark 0.31, section 5.2).
    """

    kind: Literal["quotation", "item"]
    first: int
    end: int
    mark: str


@dataclass(frozen=True, slots=True)
class Fence:
    """A code fence on the lines from `first` up to `end`; its first begins at `start`."""

    start: int
    first: int
    end: int
    is_closed: bool
    containers: tuple[Container, ...]
    indentation: str
    markup: str
    language: str

    @property
    def opening(self) -> str:
        """Opens the containers and the fence again, on a line of its own."""
        before, is_in_item = "", False
        for container in self.containers:
            mark = container.mark.strip()
            # Behind a list item's mark, spaces would make the item's indentation wider; behind
            # their own mark, five would begin indented code.
            spaces = min(4, len(container.mark) - len(mark))
            before += f"{mark}{' ' * spaces}" if is_in_item else container.mark
            is_in_item = container.kind == "item"
        return f"{before}{'' if is_in_item else self.indentation}{self.markup}{self.language}"

    @property
    def line_start(self) -> str:
        """What a further line begins with to be in the same containers."""
        marks = "".join(container.mark for container in self.containers)
        return re.sub(r"[^> ]", " ", marks) + self.indentation

    @property
    def closing(self) -> str:
        return f"{self.line_start}{self.markup}"


@dataclass(frozen=True, slots=True)
class Blocks:
    """The containers and the fences of a text, each in the order in which they begin."""

    containers: tuple[Container, ...]
    fences: tuple[Fence, ...]


@lru_cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").disable("inline")


@lru_cache(maxsize=256)
def blocks(text: str) -> Blocks:
    """The containers and fences of a text, as a CommonMark parser sees them."""
    lines = text.split("\n")
    containers: list[Container] = []
    fences: list[Fence] = []
    within: list[Container] = []
    # With a line break at its end, a last line counts like all others (see `is_closed`).
    for token in _parser().parse(text if text.endswith("\n") else f"{text}\n"):
        if token.type in ("blockquote_open", "list_item_open"):
            within.append(_container(lines, token, within))
            containers.append(within[-1])
        elif token.type in ("blockquote_close", "list_item_close"):
            within.pop()
        elif token.type == "fence":
            fences.append(_fence(lines, token, within))
    return Blocks(tuple(containers), tuple(fences))


def _container(lines: list[str], token: Token, within: list[Container]) -> Container:
    first, end = _lines_of(token)
    if token.type == "blockquote_open":
        return Container("quotation", first, end, _QUOTE)
    # Five spaces and more behind a mark belong to the content, which is indented code.
    found = re.match(r"( *[-+*.)\d]*)( {1,4}(?=[^ ]))?", _inside(lines[first], within))
    return Container("item", first, end, f"{found[1]}{found[2] or ' '}" if found else "- ")


def _fence(lines: list[str], token: Token, within: list[Container]) -> Fence:
    first, end = _lines_of(token)
    inside = _inside(lines[first], within)
    words = token.info.split(maxsplit=1)
    return Fence(
        start=sum(len(line) + 1 for line in lines[:first]),
        first=first,
        end=end,
        # A closing line is no content.
        is_closed=token.content.count("\n") < end - first - 1,
        containers=tuple(within),
        indentation=inside[: len(inside) - len(inside.lstrip(" "))],
        markup=token.markup,
        language=words[0][:_MAX_LANGUAGE_CHARS].lstrip("~") if words else "",
    )


def _inside(line: str, within: list[Container]) -> str:
    """What a line in these containers holds, the tabs expanded."""
    inside = line.expandtabs(4)
    for container in within:
        if container.kind == "quotation":
            inside = re.sub(r"^ *> ?", "", inside)
        else:
            inside = inside[len(container.mark) :]
    return inside


def _lines_of(token: Token) -> tuple[int, int]:
    assert token.map is not None, "a block has lines"
    return token.map[0], token.map[1]


def text_after(text: str, cut: int) -> str:
    """The text after a cut, without the indentation of list items whose marks are before the cut.

    With four spaces, a fence would become indented code, or the text of a paragraph. An unclosed
    fence that ends with such an item is closed there.
    """
    before = text[:cut].rstrip()
    last_line = before.count("\n") + 1
    if not any(
        block.kind == "item" and block.end == last_line for block in blocks(before).containers
    ):
        return text[cut:]
    rest = text[cut:].split("\n")
    is_line_parted = text[cut - 1] != "\n"
    first = text.count("\n", 0, cut) + is_line_parted
    found = blocks(text)
    left = [block for block in found.containers if block.first < first < block.end]
    most = _most_indentation(found, first)
    fences = [fence for fence in found.fences if fence.first >= first]
    closings = _closings(fences, left, len(text.rstrip().split("\n")))
    kept = rest[:1] if is_line_parted else []
    if is_line_parted and rest[0].strip() and first in most:
        kept.append("")  # an ordered list with another number than 1 interrupts no paragraph
    for number, line in enumerate(rest[is_line_parted:], first):
        kept.extend(closings.get(number, ()))
        if line.lstrip().startswith(">") and any(number == block.end for block in left):
            kept.append("")  # a quotation that is not the one before
        around = [block for block in left if number < block.end]
        kept.append(_less_indented(line, around, most.get(number, 0)))
    return "\n".join(kept)


def _most_indentation(found: Blocks, first: int) -> dict[int, int]:
    """How many spaces may be before the lines of containers that begin on a line or later.

    List items keep what shows how they are nested, as far as it is not read as indented code.
    """
    most: dict[int, int] = {}
    for block in found.containers:
        if block.first >= first and block.first not in most:
            own = len(block.mark) - len(block.mark.lstrip())
            room = 3 - own if block.kind == "item" else 0
            most.update(dict.fromkeys(range(block.first, block.end), room))
    return most


def _closings(fences: list[Fence], left: list[Container], end: int) -> dict[int, list[str]]:
    """What closes the fences that list items end whose marks are before a cut, by line."""
    closings: dict[int, list[str]] = {}
    for fence in fences:
        around = fence.containers
        is_ended = not fence.is_closed and fence.end < end
        if is_ended and {*around} <= {*left} and any(block.kind == "item" for block in around):
            quotations = _QUOTE * sum(block.kind == "quotation" for block in around)
            closings[fence.end] = [f"{quotations}{fence.markup}"]
    return closings


def _less_indented(line: str, around: list[Container], most: int) -> str:
    """A line without the indentation of the list items around it, or with `most` spaces of it."""
    lead = re.match(r"(?:[ \t>]|(?:[-+*]|\d{1,9}[.)])[ \t])*", line)
    rest = lead[0].expandtabs(4) + line[lead.end() :] if lead else line
    kept, width = "", 0
    for container in around:
        quote = re.match(r" *> ?", rest)
        if container.kind == "quotation" and quote:
            kept, width = f"{kept}{' ' * min(width, most)}{quote[0]}", 0
            rest = rest[quote.end() :]
        elif container.kind == "item" and not rest[: len(container.mark)].strip(" "):
            width += len(rest[: len(container.mark)])
            rest = rest[len(container.mark) :]
        else:
            break
    return f"{kept}{' ' * min(width, most)}{rest}" if around else line
