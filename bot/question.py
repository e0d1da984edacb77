"""A question as a model reads it: with what it quotes before it and its text files after it."""

from bot.messages import Answerable, Attachment, IncomingMessage, Quoted
from bot.translations import gettext as _


def whole_question(question: str, event: Answerable) -> str:
    """The question's text with its context; a command brings none."""
    if not isinstance(event, IncomingMessage):
        return question
    return "\n\n".join(
        [
            *(_quote(quoted) for quoted in event.quoted),
            question,
            *(_describe(attachment) for attachment in event.attachments),
        ]
    ).strip()


def _quote(quoted: Quoted) -> str:
    name = _("You") if quoted.is_own else quoted.author.name
    lines = "\n".join(f"> {line}" for line in quoted.text.splitlines())
    return f"{name}:\n{lines}"


def _describe(attachment: Attachment) -> str:
    if attachment.text is None:
        return _("(The file {name} is attached; it is not text.)").format(name=attachment.name)
    return _("The file {name}:").format(name=attachment.name) + f"\n{attachment.text}"
