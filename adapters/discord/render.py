"""One message of an answer as Discord shows it (pure)."""

import re
from typing import Literal

from bot.messages import ReplyView
from bot.translations import gettext as _

MAX_MESSAGE_CHARS = 2000
FOOTER_CHARS = 160
MAX_CHARS = MAX_MESSAGE_CHARS - FOOTER_CHARS
"""What is left for an answer's text beside its footer."""

PLACEHOLDER = "…"
"""Discord refuses a message without a visible character."""

_SUBTEXT = "\n-# "
_DEEP_HEADING = re.compile(r"^(#{4,6})[ \t]+(\S.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})")

Footer = Literal["full", "minimal", "none"]


def length(text: str) -> int:
    """The length of a text in UTF-16 units: Discord counts no character as more than that."""
    return len(text) + sum(character > "\uffff" for character in text)


def content(view: ReplyView, footer: Footer) -> str:
    """The message's content, within `MAX_MESSAGE_CHARS` for a view within `MAX_CHARS`."""
    text = _headings(view.text)
    if not text.strip():
        text = PLACEHOLDER
    line = "" if footer == "none" else _footer_of(view, is_full=footer == "full")
    return f"{text}{_SUBTEXT}{_one_line(line)}" if line else text


def _footer_of(view: ReplyView, *, is_full: bool) -> str:
    """The model and what belongs under its answer; in full also the time and the speed."""
    parts: list[str] = []
    if view.figures is not None:
        parts.append(view.figures.model)
        if is_full:
            parts.append(_("{seconds:.1f} s").format(seconds=view.figures.seconds))
            if view.figures.tokens_per_s is not None:
                speed = view.figures.tokens_per_s
                parts.append(_("{speed:.0f} tokens/s").format(speed=speed))
    return " · ".join([*parts, view.footer] if view.footer else parts)


def _one_line(footer: str) -> str:
    line = " ".join(footer.split())
    room = FOOTER_CHARS - len(_SUBTEXT)
    while length(line) > room:
        line = f"{line[:-2]}…"
    return line


def _headings(text: str) -> str:
    """Headings of the fourth to sixth level, which Discord does not know, in bold.

    The text does not become longer by it, so that it still fits.
    """
    if "####" not in text:
        return text
    lines: list[str] = []
    fence: str | None = None
    for line in text.split("\n"):
        fence = _fence_after(line, fence)
        match = _DEEP_HEADING.match(line) if fence is None else None
        lines.append(f"**{match[2]}**" if match and "**" not in match[2] else line)
    return "\n".join(lines)


def _fence_after(line: str, fence: str | None) -> str | None:
    """The code fence that is open after a line."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    mark = match[1]
    if fence is None:
        return mark
    is_closed = mark.startswith(fence) and not line[match.end() :].strip()
    return None if is_closed else fence
