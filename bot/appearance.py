"""What goes with an answer on every platform, by setting: its footer and its buttons (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from bot.messages import Action, ReplyView
from bot.translations import gettext as _

Footer = Literal["full", "minimal", "none"]
Buttons = Literal["full", "minimal", "none"]

STEERING = (Action.STOP, Action.RETRY)
"""Buttons for who asked, and for those who manage the channel; the others are for everyone."""

VOTES = (Action.VOTE_A, Action.VOTE_B, Action.VOTE_C, Action.VOTE_D)
"""The vote for each answer of a comparison, in their order."""

_RATING = (Action.GOOD, Action.BAD)


def footer_line(view: ReplyView, footer: Footer) -> str:
    """The model and what belongs under its answer, on one line; in full also time and speed."""
    if footer == "none":
        return ""
    parts: list[str] = []
    if view.figures is not None:
        parts.append(view.figures.model)
        if footer == "full":
            parts.append(_("{seconds:.1f} s").format(seconds=view.figures.seconds))
            if view.figures.tokens_per_s is not None:
                speed = view.figures.tokens_per_s
                parts.append(_("{speed:.0f} tokens/s").format(speed=speed))
    line = " · ".join([*parts, view.footer] if view.footer else parts)
    return " ".join(line.split())


def shown_actions(actions: Sequence[Action], buttons: Buttons) -> Sequence[Action]:
    """Those of an answer's actions that get a button."""
    hidden: Mapping[Buttons, Sequence[Action]] = {
        "full": (),
        "minimal": _RATING,
        "none": tuple(Action),
    }
    return [action for action in actions if action not in hidden[buttons]]


@dataclass(frozen=True, slots=True)
class Face:
    """What a button shows: a word, or a symbol that says the same on every platform."""

    label: str | None
    emoji: str | None = None


def face(action: Action) -> Face:
    """The button of an action."""
    match action:
        case Action.STOP:
            return Face(_("Stop"))
        case Action.RETRY:
            return Face(_("Retry"))
        case Action.GOOD:
            return Face(None, "\N{THUMBS UP SIGN}")
        case Action.BAD:
            return Face(None, "\N{THUMBS DOWN SIGN}")
        case Action.VOTE_A | Action.VOTE_B | Action.VOTE_C | Action.VOTE_D:
            return Face(letter(VOTES.index(action)))
        case Action.VOTE_TIE:
            return Face(_("Tie"))
        case _:
            assert_never(action)


def letter(position: int) -> str:
    """The letter that an answer of a comparison goes by."""
    return "ABCD"[position]
