"""The store over an SQL database: all ports, one `Database`."""

from pathlib import Path
from types import TracebackType
from typing import Self

from typing_extensions import override

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
from bot.store.ports.store import Store
from bot.store.ports.usages import Usages
from bot.store.sql.adapter_state import SqlAdapterState
from bot.store.sql.comparisons import SqlComparisons
from bot.store.sql.database import Database
from bot.store.sql.erasure import SqlErasure
from bot.store.sql.exchanges import SqlExchanges
from bot.store.sql.history import SqlHistory
from bot.store.sql.inbox import SqlInbox
from bot.store.sql.ratings import SqlRatings
from bot.store.sql.recovery import SqlRecovery
from bot.store.sql.replies import SqlReplies
from bot.store.sql.settings_table import SqlSettingsTable
from bot.store.sql.usages import SqlUsages

BUSY_TIMEOUT_S = 10.0
"""How long a transaction waits for another process's before it fails."""


class SqlStore(Store):
    """Open it with `open`; `close` it, or leave its `async with` block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inbox = SqlInbox(database)
        self._recovery = SqlRecovery(database)
        self._history = SqlHistory(database)
        self._replies = SqlReplies(database)
        self._exchanges = SqlExchanges(database)
        self._ratings = SqlRatings(database)
        self._comparisons = SqlComparisons(database)
        self._erasure = SqlErasure(database)
        self._usages = SqlUsages(database)
        self._settings = SqlSettingsTable(database)

    @classmethod
    async def open(cls, location: Path | str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Self:
        """Open the database in a data folder, or at an SQLAlchemy URL (a str).

        Creates the folder and the database on the first start and migrates an older one. Raises
        `StoreUnavailable` with what is wrong and what to do.
        """
        return cls(await Database.open(location, busy_timeout_s))

    @property
    def database(self) -> Database:
        """The database below the ports."""
        return self._database

    @property
    @override
    def inbox(self) -> Inbox:
        return self._inbox

    @property
    @override
    def recovery(self) -> Recovery:
        return self._recovery

    @property
    @override
    def history(self) -> History:
        return self._history

    @property
    @override
    def replies(self) -> Replies:
        return self._replies

    @property
    @override
    def exchanges(self) -> Exchanges:
        return self._exchanges

    @property
    @override
    def ratings(self) -> Ratings:
        return self._ratings

    @property
    @override
    def comparisons(self) -> Comparisons:
        return self._comparisons

    @property
    @override
    def erasure(self) -> Erasure:
        return self._erasure

    @property
    @override
    def usages(self) -> Usages:
        return self._usages

    @property
    @override
    def settings(self) -> SettingsTable:
        return self._settings

    @override
    def adapter_state(self, adapter: str) -> AdapterState:
        return SqlAdapterState(self._database, adapter)

    @override
    def hurry(self) -> None:
        self._database.hurry()

    @override
    async def close(self) -> None:
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
