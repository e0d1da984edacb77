"""What was said at this terminal, for commands that sum it up; it goes with the process."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

from typing_extensions import override

from bot.messages import ConversationRef, IncomingMessage, MessageReader, PastMessage

MAX_KEPT = 500


class Transcript(MessageReader):
    """The lines of the member."""

    def __init__(self) -> None:
        self._said: deque[PastMessage] = deque(maxlen=MAX_KEPT)

    def add(self, event: IncomingMessage) -> None:
        """Remember a line."""
        self._said.append(PastMessage(event.id, event.author, event.text, event.sent_at))

    @override
    async def recent(
        self,
        conversation: ConversationRef,
        limit: int,
        since: datetime | None = None,
        since_id: str | None = None,
    ) -> Sequence[PastMessage]:
        found = [one for one in self._said if since is None or one.sent_at >= since]
        if since_id is not None:
            ids = [one.id for one in found]
            found = found[ids.index(since_id) :] if since_id in ids else []
        return found[-limit:]
