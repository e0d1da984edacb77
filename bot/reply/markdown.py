"""Splitting a growing CommonMark text into messages, never inside an unclosed code fence (pure).

This module only chooses where to cut. A cut never moves back while the text grows, so what an
append-only platform has shown stays right.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from bot.reply.markdown_blocks import Fence, blocks, text_after

Length = Callable[[str], int]

_NO_CONTENT = " \t\n>"
"""What blank lines and quotation marks consist of."""
_UNKNOWN_LINE = r"\n[ \t>]*(?:[-+*]|\d{1,9}[.)]|\d{1,9}|`{1,2}|~{1,2})?\Z"
"""A last line that may yet become text, a list item or a fence."""
_JOINING = "\u200d`~"
"""What a hard cut parts from nothing: U+200D joins letters, the others may make a fence."""
_CUTS = (r"\n[ \t]*\n", r"\n", r"(?<!```)(?<!~~~)(?<![ \t])[ \t]+(?=[^ \t](?s:..))(?!```|~~~)")
"""Where to cut, the best first: after a paragraph, after a line, after a word.

Between words, not where a part of the line would then be read as a fence; the two characters that
this looks ahead lie before the latest cut, so that text that comes later changes nothing.
"""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message's text, fences closed; its first `stable_chars` characters stay as they are."""

    text: str
    stable_chars: int


def fenced(text: str) -> str:
    """The text as a code block, in a fence that nothing in it closes."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def split(text: str, limit: int, length: Length = len, *, is_final: bool = True) -> list[Chunk]:
    """Split a text into chunks of at most `limit`, as `length` counts it.

    A fence open at a cut is closed there and, where lines of it follow, re-opened in the next
    chunk, with its language and in the same quotations and list items.
    Nothing but the white space at a cut is left out. Without `is_final` more text may follow:
    the last chunk's last word is then not yet stable.
    """
    chunks: list[Chunk] = []
    rest = re.sub(r"\r\n?", "\n", text)
    rest = rest if is_final else re.sub(_UNKNOWN_LINE, "\n", rest)
    while True:
        latest = _latest_cut(rest, limit, length)
        if latest == len(rest):
            return [*chunks, _last_chunk(rest, limit, length, is_final=is_final)]
        cut = _choose_cut(rest, limit, latest, length)
        fence = _open_fence(rest[:cut], limit)
        piece = _close(rest[:cut].rstrip(), fence)
        if piece.strip():
            chunks.append(Chunk(piece, len(piece)))
        rest = _next(rest, cut, fence, limit)


def _next(text: str, cut: int, fence: Fence | None, limit: int) -> str:
    """The text after a cut, in the fence that the cut falls into."""
    rest = text[cut:]
    if fence is None or not _continues(fence, text, cut, limit):
        return text_after(text, cut).lstrip("\n")
    is_whole_line = text[cut - 1] == "\n" or rest.startswith("\n")
    line_start = "" if is_whole_line else fence.line_start
    return f"{fence.opening}\n{line_start}{rest}"


def _continues(fence: Fence, text: str, cut: int, limit: int) -> bool:
    """Whether the text after a cut still belongs to a fence: its first line with content tells.

    A line that leaves the fence's containers ends it. While only blank lines and quotation marks
    follow, it does not continue yet; so many of them that they could be cut themselves decide that
    it does.
    """
    if not fence.containers:
        return True
    most = limit // 4
    content = cut + len(text[cut : cut + most]) - len(text[cut : cut + most].lstrip(_NO_CONTENT))
    if content == cut + most:
        return True
    known = text[: content + 1]
    last_line = known.count("\n") + 1
    return content < len(text) and any(
        found.start == fence.start and found.end == last_line for found in _fences(known)
    )


def _last_chunk(text: str, limit: int, length: Length, *, is_final: bool) -> Chunk:
    fence = _open_fence(text, limit)
    closed = _close(text.rstrip(), fence) if fence else text
    if is_final:
        return Chunk(closed, len(closed))
    if not text.strip(_NO_CONTENT):  # whether a fence is re-opened before it is not known yet
        return Chunk(closed, 0)
    words = max(text.rfind(" "), text.rfind("\n")) + 1
    safe = min(words, _safe_length(text, limit, length))
    return Chunk(closed, len(text[:safe].rstrip()))


def _safe_length(text: str, limit: int, length: Length) -> int:
    """How much of an unfinished text no later cut can fall into."""
    earliest = _longest_prefix(text, limit // 2, length)
    if earliest == len(text):
        return earliest
    return _best_cut(text, earliest, len(text)) or earliest


def _latest_cut(text: str, limit: int, length: Length) -> int:
    """The longest prefix that fits together with the closing of any fence in it.

    It only grows with the text: a chunk that was full once stays full.
    """
    latest = _longest_prefix(text, limit, length)
    reserve = 0
    for fence in _fences(text[:latest]):
        if not _is_too_wide(fence, limit):
            reserve = max(reserve, len(fence.closing) + 1)
            shorter = _longest_prefix(text, limit - reserve, length)
            if shorter > fence.start:
                latest = min(latest, shorter)
            else:
                return min(latest, max(fence.start, 1))
    return latest


def _choose_cut(text: str, limit: int, latest: int, length: Length) -> int:
    earliest = min(latest, _longest_prefix(text, limit // 2, length))
    return _best_cut(text, earliest, latest) or _whole_character(text, latest)


def _best_cut(text: str, earliest: int, latest: int) -> int | None:
    for pattern in _CUTS:
        ends = [match.end() for match in re.finditer(pattern, text[:latest])]
        if ends and ends[-1] > earliest:
            return ends[-1]
    return None


def _longest_prefix(text: str, room: int, length: Length) -> int:
    """The length of the longest prefix that `length` counts as at most `room`, at least 1."""
    low, high = 0, min(len(text), max(room, 1))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(text[:middle]) <= room else (low, middle - 1)
    return min(len(text), max(low, 1))


def _whole_character(text: str, position: int) -> int:
    """Move a hard cut back so that it parts no letter from its marks or joiners, and no fence."""
    for cut in range(position, max(0, position - 16), -1):
        if not _is_joined(text, cut):
            return cut
    return position


def _is_joined(text: str, position: int) -> bool:
    if position >= len(text):
        return False
    before, after = text[position - 1], text[position]
    joins = before in _JOINING or after in _JOINING
    return joins or unicodedata.category(after).startswith("M")


def _close(text: str, fence: Fence | None) -> str:
    return text if fence is None else f"{text}\n{fence.closing}"


def _open_fence(text: str, limit: int) -> Fence | None:
    """The fence that the text leaves open, unless its marks alone would fill a message.

    White space at the end is not looked at: a platform strips it.
    """
    stripped = text.rstrip()
    fence = next(reversed(_fences(stripped)), None)
    if fence is None or fence.is_closed or _is_too_wide(fence, limit):
        return None
    return fence if fence.end == stripped.count("\n") + 1 else None


def _is_too_wide(fence: Fence, limit: int) -> bool:
    return len(fence.opening) + len(fence.closing) + 2 > limit // 4


def _fences(text: str) -> tuple[Fence, ...]:
    return blocks(text).fences if "```" in text or "~~~" in text else ()
