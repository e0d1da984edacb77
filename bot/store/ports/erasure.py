"""The port of what is stored of people and places, and its removal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.messages import ConversationRef


@dataclass(frozen=True, slots=True)
class Person:
    """A member as their platform knows them."""

    platform: str
    id: str


class Erasure(Protocol):
    """What is stored of a person or of a place, by the table's name, and its removal.

    `before` is the id of the command that asks for this: that and what came after it stay.
    """

    async def stored(self, person: Person, before: int | None = None) -> Mapping[str, int]:
        """How many rows of each table are a person's or name them; tables without any are left
        out."""
        ...

    async def export(self, person: Person) -> Mapping[str, Sequence[Mapping[str, object]]]:
        """Those rows, column by column."""
        ...

    async def forget(self, person: Person, before: int | None = None) -> Mapping[str, int]:
        """Delete them, and take the person's name off what belongs to others; returns how many.

        Nothing of it is left in the files.
        """
        ...

    async def stored_in(
        self, channel: ConversationRef, before: int | None = None
    ) -> Mapping[str, int]:
        """How many rows of each table belong to a channel and its threads."""
        ...

    async def forget_channel(
        self, channel: ConversationRef, before: int | None = None
    ) -> Mapping[str, int]:
        """Delete them; returns how many. Nothing of it is left in the files."""
        ...

    async def drop(self, message_id: int) -> None:
        """Delete one message with all that goes with it; nothing of it is left in the files."""
        ...

    async def conversations(self, person: Person) -> Sequence[ConversationRef]:
        """Where a person's messages are stored."""
        ...

    async def listed(self, person: Person) -> int:
        """How many values of places' settings, present and earlier ones, have the person's id
        as an entry: they are the places' and stay."""
        ...
