"""The port of the turns of conversations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.conversation import Turn
from bot.messages import ConversationRef
from bot.store.ports.records import StoredMessage


class History(Protocol):
    """The turns of conversations."""

    async def turns(
        self, message: StoredMessage, limit: int, *, only_own: bool = False
    ) -> Sequence[Turn]:
        """The turns before a message, oldest first, as they stood when it arrived.

        Pairs of question and answer of its conversation since the last reset, of messages that
        arrived before it and were answered by then, or that its own author asked; and what was
        heard before it. At most `limit` of both, the newest. Failed, withdrawn, undone and empty
        answers are left out, commands that asked no model, and private answers that another
        member got; with `only_own` all that its own author did not say. What went on with an
        answer is part of its turn. Of an answer that was stopped for repeating itself, what it
        repeated is there once.
        """
        ...

    async def reset(self, conversation: ConversationRef, message_id: int, now: datetime) -> None:
        """Start afresh: questions that arrive after this stored message see none from before."""
        ...

    async def edit(self, account: str, message_id: str, text: str) -> StoredMessage | None:
        """Change a stored question's text; None where nothing changes.

        That is: there is no such message, it was withdrawn, it reads so already, or it is a
        command, which has no text to change.
        """
        ...

    async def withdraw(self, account: str, message_id: str) -> StoredMessage | None:
        """Blank a question and its answers and take both out of the context; None if unknown.

        A claim on it is lost. The parts already posted stay recorded.
        """
        ...

    async def find(self, account: str, message_id: str) -> StoredMessage | None:
        """A stored message by the platform's id."""
        ...

    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        """Whether a message that is still kept addressed the bot in this conversation.

        Commands and withdrawn messages do not count, nor, with `before`, the message that the
        platform knows by this id and what arrived after it.
        """
        ...

    async def mark_removed(self, platform: str, installation_id: str, now: datetime) -> None:
        """Mark an installation's data for purging: the next purge deletes what came before."""
        ...
