"""The edge between the core and a chat platform: what an adapter offers and what it is given."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bot.command import CommandRegistry
from bot.messages import (
    Addressed,
    Author,
    Buttons,
    ConversationRef,
    Inbound,
    MessageReader,
    ReplyTarget,
    ReplyView,
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a platform can do. What it lacks falls back to plain text in the core.

    `max_chars` bounds one message as `length` counts it; `edit_interval_s` is the least time
    between two shows of one reply. With `is_append_only`, `ReplyView.stable_chars` is all that may
    be shown before a part is complete. An answer of more than `max_parts` messages comes as one
    with the whole of it as a document; None for a platform that has no documents. With
    `tells_progress` the sign of work shows words: else the reply says why it has not begun.
    `reader` reads what was said in a conversation; None where the bot cannot. `target_in` makes a
    target of a channel's id, for what answers nobody; None where there are no other channels.
    `buttons` are those that the owner wants under answers there.
    """

    platform: str
    max_chars: int
    edit_interval_s: float
    is_append_only: bool = False
    buttons: Buttons = Buttons.NONE
    has_pictures: bool = False
    tells_progress: bool = False
    has_files: bool = False
    max_parts: int | None = None
    length: Callable[[str], int] = len
    reader: MessageReader | None = None
    target_in: Callable[[str], ReplyTarget] | None = None

    @property
    def has_buttons(self) -> bool:
        """Whether there are any."""
        return self.buttons is not Buttons.NONE


@dataclass(frozen=True, slots=True)
class Progress:
    """Why an answer has not begun: `fraction` is between 0 and 1 where it is known."""

    text: str
    fraction: float | None = None


class WorkingIndicator(Protocol):
    """The sign that work goes on: a typing notice, a status line, a progress bar."""

    async def update(self, progress: Progress) -> None:
        """Show why the answer takes time; platforms without a place for it ignore it."""
        ...


class Adapter(Protocol):
    """A chat platform. Every failure of its SDK leaves it as a `bot.errors.PlatformError`."""

    @property
    def capabilities(self) -> Capabilities:
        """What this platform can do; constant while it runs."""
        ...

    @property
    def account(self) -> str:
        """The account it serves, such as "discord:1234": only one process may serve it."""
        ...

    async def run(self) -> None:
        """Deliver events to the services until there are no more or the task is cancelled."""
        ...

    async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        """Post one message of a reply and return the platform's id of it.

        `key` (at most 25 characters) is the same whenever the same message is posted again: a
        platform with idempotent sends uses it, and `find_reply` finds the message by it.
        """
        ...

    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        """Show a posted message anew; None deletes it."""
        ...

    async def find_reply(self, target: ReplyTarget, key: str) -> str | None:
        """The id of the own message that was posted with `key`, if it is there."""
        ...

    def working(self, target: ReplyTarget) -> AbstractAsyncContextManager[WorkingIndicator]:
        """Show that work goes on for as long as the block lasts."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What `fireside doctor` found out about one thing; `fix` is None where all is well."""

    subject: str
    detail: str
    fix: str | None = None


class AdapterState(Protocol):
    """A small key-value port for an adapter's own state (sync hashes, last seen marks)."""

    async def get(self, key: str) -> str | None:
        """The value kept under `key`, if any."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Keep `value` under `key`, durably, before it returns."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One value that a parameter may take, with the label to show for it."""

    value: str
    label: str


class Services(Protocol):
    """What the core gives an adapter."""

    @property
    def commands(self) -> CommandRegistry:
        """Every command, for rendering to the platform's own and for parsing text."""
        ...

    @property
    def state(self) -> AdapterState:
        """The adapter's own durable state."""
        ...

    async def submit(self, event: Inbound) -> ReplyView | None:
        """Hand over an event; once it returns, the event is stored and may be acknowledged.

        For a button it gives what to show in private to who pressed it, if there is anything to
        say; its own buttons are about the same question.

        Raises `StoreUnavailable` when it could not be stored: then do not acknowledge it.
        Submitting the same event again does nothing.
        """
        ...

    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        """Whether the bot was addressed in this thread before (the message with this id)."""
        ...

    async def unaddressed(self, conversation: ConversationRef) -> Addressed | None:
        """What becomes of a message here that nothing addresses to the bot, by setting `trigger`.

        It is answered (`CHANNEL`), kept for later questions (`OVERHEARD`) or passed over (None).
        """
        ...

    async def model_for(self, conversation: ConversationRef, author: Author) -> Choice:
        """The model that would answer a member in a conversation now."""
        ...

    async def complete(self, command: str, parameter: str, prefix: str) -> Sequence[Choice]:
        """The values that a command's parameter may take and that begin like `prefix`."""
        ...
