"""Splitting a growing CommonMark text into messages, never inside an unclosed code fence (pure).

What counts as a fence is decided by markdown-it-py, a CommonMark parser; this module only chooses
where to cut. A cut never moves back while the text grows, so what an append-only platform has
shown stays right.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

Length = Callable[[str], int]

_MAX_LANGUAGE_CHARS = 30
_CUTS = (r"\n[ \t]*\n", r"\n", r"[ \t]")
"""Where to cut, the best first: after a paragraph, after a line, after a word."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message's text, fences closed; its first `stable_chars` characters stay as they are."""

    text: str
    stable_chars: int


@dataclass(frozen=True, slots=True)
class _Fence:
    """A code fence of a text: where it starts, and how to close and re-open it."""

    start: int
    is_open: bool
    closing: str
    reopening: str


def fenced(text: str) -> str:
    """The text as a code block, in a fence that nothing in it closes."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def split(text: str, limit: int, length: Length = len, *, is_final: bool = True) -> list[Chunk]:
    """Split a text into chunks of at most `limit`, as `length` counts it.

    A fence open at a cut is closed there and re-opened, with its language, in the next chunk.
    Nothing but the white space at a cut is left out. Without `is_final` more text may follow:
    the last chunk's last word is then not yet stable.
    """
    chunks: list[Chunk] = []
    rest = re.sub(r"\r\n?", "\n", text)
    while True:
        latest = _latest_cut(rest, limit, length)
        if latest == len(rest):
            return [*chunks, _last_chunk(rest, limit, length, is_final=is_final)]
        cut = _choose_cut(rest, limit, latest, length)
        fence = _open_fence(rest[:cut], limit)
        piece = _close(rest[:cut].rstrip(), fence)
        if piece.strip():
            chunks.append(Chunk(piece, len(piece)))
        rest = f"{fence.reopening}\n{rest[cut:]}" if fence else rest[cut:].lstrip("\n")


def _last_chunk(text: str, limit: int, length: Length, *, is_final: bool) -> Chunk:
    closed = _close(text, _open_fence(text, limit))
    if is_final:
        return Chunk(closed, len(closed))
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
    """Move a hard cut back so that it does not part a letter from its marks or joiners."""
    for cut in range(position, max(0, position - 16), -1):
        if not _is_joined(text, cut):
            return cut
    return position


def _is_joined(text: str, position: int) -> bool:
    if position >= len(text):
        return False
    joiner = "\u200d"
    before, after = text[position - 1], text[position]
    return joiner in (before, after) or unicodedata.category(after).startswith("M")


def _close(text: str, fence: _Fence | None) -> str:
    if fence is None:
        return text
    separator = "" if text.endswith("\n") else "\n"
    return f"{text}{separator}{fence.closing}"


def _open_fence(text: str, limit: int) -> _Fence | None:
    """The fence that the text leaves open, unless its marks alone would fill a message."""
    fences = _fences(text)
    is_open = bool(fences) and fences[-1].is_open and not _is_too_wide(fences[-1], limit)
    return fences[-1] if is_open else None


def _is_too_wide(fence: _Fence, limit: int) -> bool:
    return len(fence.reopening) + len(fence.closing) + 2 > limit // 4


@lru_cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


@lru_cache(maxsize=256)
def _fences(text: str) -> tuple[_Fence, ...]:
    """The code fences of a text in order, as a CommonMark parser sees them."""
    if "```" not in text and "~~~" not in text:
        return ()
    lines = text.split("\n")
    return tuple(
        _fence(lines, token.map[0], token.map[1], token)
        for token in _parser().parse(text)
        if token.type == "fence" and token.map is not None
    )


def _fence(lines: list[str], first: int, end: int, token: Token) -> _Fence:
    markup, info = token.markup, token.info.strip()
    container = lines[first][: lines[first].index(markup)]
    language = info.split(maxsplit=1)[0][:_MAX_LANGUAGE_CHARS] if info else ""
    is_at_end = not any(line.strip() for line in lines[end:])
    return _Fence(
        start=sum(len(line) + 1 for line in lines[:first]),
        is_open=is_at_end and not _is_closed(lines[first:end], markup),
        closing=re.sub(r"[^>\s]", " ", container) + markup,
        reopening="> " * container.count(">") + markup + language,
    )


def _is_closed(lines: list[str], markup: str) -> bool:
    """Whether a fence's last line closes it (CommonMark 0.31, section 4.5)."""
    last = next((line for line in reversed(lines[1:]) if line.strip()), "")
    mark = re.escape(markup[0])
    return re.fullmatch(rf"[\s>]*{mark}{{{len(markup)},}}[ \t]*", last) is not None
