"""What training reads: a conversation of turns that alternate between two speakers.

Not the bot's message model: training knows no platforms, authors or times.
"""

from dataclasses import dataclass
from typing import Literal

Origin = Literal["chitchat", "corpus", "examples"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns of two speakers in order; the first speaker has the even turns."""

    id: str
    turns: tuple[str, ...]
    origin: Origin

    @property
    def characters(self) -> int:
        """The length of all turns together."""
        return sum(len(turn) for turn in self.turns)
