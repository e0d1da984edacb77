"""The port of how many answers and tokens were had, by the hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Used:
    """What was had in one hour by who is counted under a key."""

    counted: str
    hour: datetime
    answers: int
    tokens: int


class Usages(Protocol):
    """How many answers and tokens were had, by the hour."""

    async def since(self, time: datetime, counted: Sequence[str]) -> Sequence[Used]:
        """What was had under these keys in the hours that began then or later."""
        ...

    async def add(
        self, counted: Sequence[str], hour: datetime, *, answers: int = 0, tokens: int = 0
    ) -> None:
        """Add to each of these keys; what is older than two days goes."""
        ...
