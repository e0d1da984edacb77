"""All ports over one database."""

from typing import Protocol

from bot.adapter import AdapterState
from bot.store.ports.comparisons import Comparisons
from bot.store.ports.erasure import Erasure
from bot.store.ports.exchanges import Exchanges
from bot.store.ports.history import History
from bot.store.ports.inbox import Inbox
from bot.store.ports.ratings import Ratings
from bot.store.ports.recovery import Recovery
from bot.store.ports.replies import Replies
from bot.store.ports.settings_table import SettingsTable
from bot.store.ports.usages import Usages


class Store(Protocol):
    """All ports over one database. `open` creates and migrates it; `close` ends it."""

    @property
    def inbox(self) -> Inbox:
        """Messages to answer."""
        ...

    @property
    def recovery(self) -> Recovery:
        """Messages left over."""
        ...

    @property
    def history(self) -> History:
        """Turns of conversations."""
        ...

    @property
    def replies(self) -> Replies:
        """Finished answers."""
        ...

    @property
    def exchanges(self) -> Exchanges:
        """Single questions and answers."""
        ...

    @property
    def ratings(self) -> Ratings:
        """What members think of answers."""
        ...

    @property
    def comparisons(self) -> Comparisons:
        """Comparisons of models and the votes on them."""
        ...

    @property
    def erasure(self) -> Erasure:
        """What is stored of people and places, and its removal."""
        ...

    @property
    def usages(self) -> Usages:
        """What was had of quotas."""
        ...

    @property
    def settings(self) -> SettingsTable:
        """Scoped settings."""
        ...

    def adapter_state(self, adapter: str) -> AdapterState:
        """The small state of one adapter."""
        ...

    def hurry(self) -> None:
        """Wait for no other program from now on, but fail at once: the process is to end."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...
