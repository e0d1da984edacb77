"""Words of ours that go with an answer: why it ended, who gave it, a file where there are none."""

from bot.engine.base import Finished, FinishReason
from bot.messages import TextFile
from bot.models.available import can_go_on, is_on_this_machine, place_of
from bot.reply.markdown import fenced
from bot.translations import gettext as _
from config.catalogue import ModelEntry

MAX_FILE_MESSAGES = 8
"""Where a platform has no files, so many messages are filled with one's text."""


def note(finished: Finished, entry: ModelEntry, *, has_text: bool) -> str:
    """What is said of how a model's answer ended; nothing of one that ended well."""
    match finished.reason:
        case FinishReason.STOP:
            return "" if has_text else _("I have no answer to that. Please put it another way.")
        case FinishReason.LENGTH:
            if has_text and can_go_on(entry):
                return _("(The answer reached its length limit. /continue goes on with it.)")
            return _("(The answer reached its length limit.)")
        case FinishReason.TIME:
            if has_text:
                return _("(The answer reached its time limit.)")
            return _("I had too much to do to answer in time, sorry. Please try again later.")
        case FinishReason.REPETITION:
            if has_text:
                return _("(I stopped here because the answer kept repeating itself.)")
            return _("I have no answer to that. Please put it another way.")
        case FinishReason.CANCELLED:
            return stopped()
        case FinishReason.ERROR:
            return finished.error or _("Something went wrong while I answered. Please try again.")


def stopped() -> str:
    """What is said under an answer that a member stopped."""
    return _("(Stopped.)")


def in_words(file: TextFile, max_chars: int) -> str:
    """A file where there are none: its text, as far as some messages hold it."""
    limit = MAX_FILE_MESSAGES * max_chars
    shown = fenced(file.text[:limit])
    left = len(file.text) - limit
    if left <= 0:
        return shown
    text = _("({left:,} more characters do not fit here. The owner of this bot can send you them.)")
    return f"{shown}\n\n{text.format(left=left)}"


def footer(entry: ModelEntry) -> str | None:
    """What belongs under a model's answers beside its name."""
    parts: list[str] = []
    if entry.label is not None:
        text = _("{label}: `fireside models list` shows better ones")
        parts.append(text.format(label=entry.label))
    if entry.is_remote and not is_on_this_machine(entry):
        parts.append(_("runs on {place}").format(place=place_of(entry)))
    return ", ".join(parts) or None
