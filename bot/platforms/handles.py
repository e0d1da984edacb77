"""Where an answer goes, as a text that outlives the process, and which text holds now.

What is in a handle is the adapter's own: a frozen dataclass of simple values.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from bot.errors import TargetExpired
from bot.messages import ReplyTarget

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Handle = TypeVar("Handle", bound="DataclassInstance")


class Handles(Generic[Handle]):
    """Reads the handles of one adapter; `make` makes one of its fields, as its class does."""

    def __init__(self, make: Callable[..., Handle]) -> None:
        self._make = make

    def current(self, target: ReplyTarget, now: datetime) -> Handle:
        """The handle to use now: the fallback once the target has expired."""
        is_over = target.expires_at is not None and now >= target.expires_at
        return self.fallback(target) if is_over else self._read(target.handle)

    def fallback(self, target: ReplyTarget) -> Handle:
        """The handle to use after the target's own. Raises `TargetExpired` where there is none."""
        if target.fallback is None:
            raise TargetExpired("an answer came after its command had ended")
        return self._read(target.fallback)

    def _read(self, text: str) -> Handle:
        return self._make(**json.loads(text))


def handle_text(handle: "DataclassInstance") -> str:
    """A handle as it is kept."""
    return json.dumps(asdict(handle), separators=(",", ":"))
