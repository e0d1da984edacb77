"""One message of an answer as Discord shows it (pure)."""

import re
from io import BytesIO

import discord

from bot.messages import ReplyView
from bot.reply.buttons import Footer, footer_line

MAX_MESSAGE_CHARS = 2000
FOOTER_CHARS = 160
MAX_CHARS = MAX_MESSAGE_CHARS - FOOTER_CHARS
"""What is left for an answer's text beside its footer."""

MAX_ALT_CHARS = 1024

PLACEHOLDER = "…"
"""Discord refuses a message without a visible character."""

_SUBTEXT = "\n-# "
_DEEP_HEADING = re.compile(r"^(#{4,6})[ \t]+(\S.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})")


def length(text: str) -> int:
    """The length of a text in UTF-16 units: Discord counts no character as more than that."""
    return len(text) + sum(character > "\uffff" for character in text)


def content(view: ReplyView, footer: Footer) -> str:
    """The message's content, within `MAX_MESSAGE_CHARS` for a view within `MAX_CHARS`."""
    text = _headings(view.text)
    if not text.strip():
        text = PLACEHOLDER
    line = footer_line(view, footer)
    return f"{text}{_SUBTEXT}{_one_line(line)}" if line else text


def files_of(view: ReplyView) -> list[discord.File]:
    """What goes with the message: the whole of a very long answer, a picture."""
    files: list[discord.File] = []
    if view.document is not None:
        files.append(discord.File(BytesIO(view.document.encode()), "answer.md"))
    if view.picture is not None:
        description = view.picture.description[:MAX_ALT_CHARS]
        data = BytesIO(view.picture.png)
        files.append(discord.File(data, view.picture.name, description=description))
    if view.file is not None:
        files.append(discord.File(BytesIO(view.file.text.encode()), view.file.name))
    return files


def _one_line(footer: str) -> str:
    line = footer
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
