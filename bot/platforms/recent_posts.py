"""What an adapter posted last, by key: it is found again without asking the platform."""

from collections import OrderedDict

MAX_RECENT = 2000


class RecentPosts:
    """The ids of the latest messages, by the keys that they were posted with."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, str] = OrderedDict()

    def remember(self, key: str, message_id: str) -> None:
        """Keep a message that was posted; the oldest of too many goes."""
        self._ids[key] = message_id
        if len(self._ids) > MAX_RECENT:
            self._ids.popitem(last=False)

    def id_of(self, key: str) -> str | None:
        """The message that was posted with a key."""
        return self._ids.get(key)

    def key_of(self, message_id: str) -> str | None:
        """The key that a message was posted with."""
        return next((key for key, known in self._ids.items() if known == message_id), None)
