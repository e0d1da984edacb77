"""One message of an answer as Slack shows it (pure).

An answer is a Markdown block, or sections of mrkdwn; its footer and buttons are blocks under it.
Nothing that a model says can ping anybody: Slack's control sequences are broken up.
"""

import re
from collections.abc import Sequence
from typing import Any

from adapters.slack.handle import Handle
from adapters.slack.mrkdwn import mrkdwn
from adapters.slack.settings import Settings
from bot.messages import Action, ReplyView
from bot.reply.buttons import face, footer_line
from bot.reply.markdown import split
from bot.translations import gettext as _

MAX_CHARS = 3800
"""`chat.update` fails past 4,000 characters of text; a Markdown block would take 12,000."""

MAX_TEXT_CHARS = 4000
MAX_SECTION_CHARS = 3000
SECTION_CHARS = 1900
"""Lists grow by half at most when they become mrkdwn."""

NOTIFICATION_CHARS = 3000
FOOTER_CHARS = 500

PLACEHOLDER = "…"
"""Slack refuses a message without text."""

ACTION = "fireside:do"
FEEDBACK = "fireside:feedback"
"""The ids of buttons; their values tell the rest, so that they outlive a restart."""

ZERO_WIDTH = "\u2060"
_CONTROL = re.compile(
    r"<(?=!(?:channel|here|everyone|group|subteam\^|date\^)|@[A-Z0-9]|#[CDG][A-Z0-9])",
    re.IGNORECASE,
)
_LINKED_CONTROL = re.compile(r"(?<=\]\()(?=<?[!@]|<?#[CDG][A-Z0-9])")

Block = dict[str, Any]


def length(text: str) -> int:
    """The length of a text as Slack counts it: in UTF-16 units, with `&`, `<`, `>` as entities."""
    wide = sum(character > "\uffff" for character in text)
    return len(text) + wide + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def harmless(text: str) -> str:
    """The text with every sequence broken that Slack would take for a mention or a command."""
    text = _CONTROL.sub(f"<{ZERO_WIDTH}", text)
    return _LINKED_CONTROL.sub(ZERO_WIDTH, text)


def escaped(text: str) -> str:
    """A plain text as mrkdwn that shows it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def notification(view: ReplyView) -> str:
    """The message's plain text: for notifications, and for clients that show no blocks."""
    text = harmless(view.text[:NOTIFICATION_CHARS].strip() or PLACEHOLDER)
    return escaped(text)[:MAX_CHARS]


def plain(view: ReplyView) -> str:
    """The message's whole text, for where its blocks were refused."""
    return escaped(harmless(view.text.strip() or PLACEHOLDER))[:MAX_TEXT_CHARS]


def blocks(view: ReplyView, handle: Handle, settings: Settings) -> list[Block]:
    """The message's blocks: the text, the footer, the buttons."""
    return [
        *text_blocks(view.text, settings),
        *_footer(view, settings),
        *buttons(view.actions, handle.question_id, handle.asker_id),
    ]


def text_blocks(text: str, settings: Settings) -> list[Block]:
    """A CommonMark text as blocks."""
    if not text.strip():
        text = PLACEHOLDER
    if settings.text_format == "markdown":
        return [{"type": "markdown", "text": harmless(text)}]
    return [_section(chunk.text) for chunk in split(text, SECTION_CHARS, length)]


def buttons(actions: Sequence[Action], question_id: str, asker_id: str) -> list[Block]:
    """The buttons for the actions of an answer to a question: thumbs as Slack's own."""
    is_rated = Action.GOOD in actions and Action.BAD in actions
    values = {action: f"{action.value} {question_id} {asker_id}" for action in actions}
    plain = [one for one in actions if not (is_rated and one in (Action.GOOD, Action.BAD))]
    found: list[Block] = []
    if plain:
        elements = [_button(action, values[action]) for action in plain]
        found.append({"type": "actions", "elements": elements})
    if is_rated:
        thumbs = _thumbs(values[Action.GOOD], values[Action.BAD])
        found.append({"type": "context_actions", "elements": [thumbs]})
    return found


def private(view: ReplyView, question_id: str, reader_id: str, settings: Settings) -> Block:
    """What one person is told about an answer, as a `response_url` takes it."""
    shown = buttons(view.actions, question_id, reader_id)
    return {
        "response_type": "ephemeral",
        "replace_original": False,
        "text": notification(view),
        "blocks": [*text_blocks(view.text, settings), *shown],
    }


def pressed(value: str) -> tuple[Action, str] | None:
    """The action and the question of a button; None for a value that is none of ours."""
    words = value.split(" ")
    if len(words) != 3 or words[0] not in list(Action):
        return None
    return Action(words[0]), words[1]


def _section(text: str) -> Block:
    shown = harmless(mrkdwn(text))
    if len(shown) > MAX_SECTION_CHARS:
        shown = harmless(escaped(text))[:MAX_SECTION_CHARS]
    return {"type": "section", "text": {"type": "mrkdwn", "text": shown}, "expand": True}


def _footer(view: ReplyView, settings: Settings) -> list[Block]:
    line = footer_line(view, settings.footer)
    if not line:
        return []
    shown = line if len(line) <= FOOTER_CHARS else f"{line[: FOOTER_CHARS - 1]}…"
    text = {"type": "plain_text", "text": shown, "emoji": False}
    return [{"type": "context", "elements": [text]}]


def _button(action: Action, value: str) -> Block:
    shown = face(action)
    label = shown.label or shown.emoji or action.value
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": label},
        "action_id": f"{ACTION}:{action.value}",
        "value": value,
    }


def _thumbs(good: str, bad: str) -> Block:
    return {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": {
            "text": {"type": "plain_text", "text": _("Good")},
            "accessibility_label": _("A good answer"),
            "value": good,
        },
        "negative_button": {
            "text": {"type": "plain_text", "text": _("Bad")},
            "accessibility_label": _("A bad answer"),
            "value": bad,
        },
    }
