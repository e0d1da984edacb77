"""Answers as plain lines, for pipes and for terminals that can only print.

An answer begins with a line `Chatbot: ...`; its further lines are indented by two spaces, so that
no other line begins like that whatever a model says, and the answer can be had back exactly.
"""

from adapters.console.safe_text import clean
from bot.translations import gettext as _

LABEL = "Chatbot:"
INDENT = "  "


def plain(text: str, index: int = 0, label: str = LABEL) -> str:
    """One message of an answer as lines, without the last line's end.

    `index` counts the messages of a long answer: only the first carries the label. What it gives
    for a text's beginning begins what it gives for the text.
    """
    first, *rest = clean(text).strip("\n").split("\n")
    opening = f"{label} {first}" if index == 0 else f"{INDENT}{first}"
    return "\n".join([opening, *(f"{INDENT}{line}" if line.strip() else "" for line in rest)])


def goodbye() -> str:
    """What is said on leaving."""
    return _("Goodbye!")
