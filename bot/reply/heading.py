"""The question once more, before its answer: others do not see what a slash command was given.

It is shown and nothing else: no part of the answer as it is kept, exported or read by a model.
"""

import re

from bot.command import QUESTION
from bot.messages import Answerable, CommandInvoked
from bot.policy.word_list import WordList
from bot.text import clean

MAX_CHARS = 300
"""A longer question is cut."""

_MARK = "\u2060"
"""A word joiner tells the line from an answer that begins with a quotation: `clean` leaves none in
a question. After it nothing is a list or a heading."""

_BEGINNING = f"> {_MARK}"
_MARKUP = re.compile(r"(https?://[\w./?=&%#:+-]+)|[\\`*_~|<>\[\]]")
"""What is formatting, or begins a mention, outside the addresses of pages."""


def repeated(event: Answerable, words: WordList, asked: str | None = None) -> str:
    """What stands before an answer that everybody sees; "" where they saw the question too, and
    where it has words in it that are not to be posted.

    `asked` is what a command without a question of its own put to the model, such as /retry.
    """
    if not isinstance(event, CommandInvoked) or not event.is_hidden:
        return ""
    if event.conversation.is_direct:
        return ""
    return _quoted(words.allowed(event.arguments.get(QUESTION, asked or "")) or "")


def without_repeated(text: str) -> str:
    """A posted answer without the question before it."""
    line, _newline, rest = text.partition("\n")
    return rest.lstrip() if line.startswith(_BEGINNING) else text


def _quoted(question: str) -> str:
    """A question in a quotation of one line, as it was typed: nothing in it formats or mentions."""
    line = " ".join(clean(question).split())
    if not line:
        return ""
    if len(line) > MAX_CHARS:
        line = f"{line[:MAX_CHARS].rstrip()}…"
    return _BEGINNING + _MARKUP.sub(lambda found: found[1] or f"\\{found[0]}", line)
