"""The port of the scoped settings and the trail of their changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.store.ports.scopes import ScopeKey


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A value somebody set in a scope; `is_locked` keeps narrower scopes from changing it."""

    scope: ScopeKey
    name: str
    value: str
    is_locked: bool
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """What a scope holds of a setting."""

    value: str
    is_locked: bool = False


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One change of a setting in a scope: what it held before and after, None for nothing.

    `by` is who changed it, as platform:user id; `undoes` is the id of the change it takes back.
    """

    id: int
    scope: ScopeKey
    name: str
    before: Held | None
    after: Held | None
    by: str
    at: datetime
    undoes: int | None = None


class SettingsTable(Protocol):
    """The scoped settings, and the trail of their changes."""

    async def read(self, name: str, scopes: Sequence[ScopeKey]) -> Sequence[StoredSetting]:
        """The values of a setting in any of these scopes, in no order."""
        ...

    async def read_all(self, scopes: Sequence[ScopeKey]) -> Sequence[StoredSetting]:
        """The values of every setting in any of these scopes, in no order."""
        ...

    async def write(
        self,
        scope: ScopeKey,
        name: str,
        held: Held | None,
        by: str,
        at: datetime,
        undoes: int | None = None,
    ) -> None:
        """Let a scope hold this value, or none, and add the change to the trail.

        What changes nothing leaves no trace.
        """
        ...

    async def everywhere(self, name: str) -> Sequence[StoredSetting]:
        """The values of a setting in every scope, in no order."""
        ...

    async def changes(self, scopes: Sequence[ScopeKey], limit: int) -> Sequence[SettingChange]:
        """The last changes in any of these scopes, the newest first."""
        ...
