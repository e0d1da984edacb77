"""What a member is told while an answer has not begun (pure)."""

from bot.engine.base import Loading, Waiting
from bot.translations import gettext as _

SOON_S = 2.0
"""A wait that ends sooner than this is not worth a word."""


def why_nothing_comes(event: Waiting | Loading) -> tuple[str, float | None] | None:
    """The words, and how far it is (0 to 1) where that is known; None where it begins soon."""
    if isinstance(event, Loading):
        return _("Loading {model}").format(model=event.model), event.fraction
    if event.expected_s is None:
        return _("Place {position} in the queue").format(position=event.position), None
    if event.expected_s <= SOON_S:
        return None
    text = _("Place {position} in the queue, about {seconds} s")
    return text.format(position=event.position, seconds=round(event.expected_s)), None
