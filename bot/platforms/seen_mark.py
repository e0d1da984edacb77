"""How far the messages of a platform were seen: what came after the mark is looked for again.

A mark is a number that grows with the platform's messages. How a message is read, and where, is the
adapter's business.
"""

from collections.abc import Callable

from bot.adapter import AdapterState

MARK_KEY = "seen"


class SeenMark:
    """The mark, kept in an adapter's state: `read` and `write` turn its text into it and back.

    While something may be missing (`is_open`) no message moves it: else one that was heard would
    hide all that were not.
    """

    def __init__(
        self, state: AdapterState, read: Callable[[str], int], write: Callable[[int], str]
    ) -> None:
        self._state = state
        self._read = read
        self._write = write
        self._kept = 0
        self._ahead = 0
        self.latest = 0
        self.is_open = True

    async def load(self, first: int) -> bool:
        """Read the mark of the process before; where there was none, `first` is kept at once.

        Gives whether there was one. Raises `StoreUnavailable`, as `save` does.
        """
        kept = await self._state.get(MARK_KEY)
        self._kept = self.latest = self._read(kept) if kept else 0
        if kept is None:
            self.latest = first
            await self.save()
        return kept is not None

    def saw(self, at: int) -> None:
        """A message was dealt with."""
        self._ahead = max(self._ahead, at)
        if not self.is_open:
            self.latest = max(self.latest, at)

    def open(self, before: int | None = None) -> None:
        """From now on something may be missing, or a message that came after `before` is."""
        self.is_open = True
        if before is not None:
            self.latest = min(self.latest, before)

    def close(self) -> None:
        """What was missing has been looked for."""
        self.is_open = False
        self.latest = max(self.latest, self._ahead)

    async def save(self) -> None:
        """Write the mark if it has moved."""
        if (latest := self.latest) != self._kept:
            await self._state.put(MARK_KEY, self._write(latest))
            self._kept = latest
