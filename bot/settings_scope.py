"""Scoped settings: what holds here, for this member, and where the value came from.

Preferences resolve from narrow to wide: me, thread, channel, workspace, global, then the
configuration. Each setting says which scopes it may be set in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.errors import UsageError
from bot.messages import Author, ConversationRef
from bot.store.base import PERSONAL_SCOPE, ScopeKey, SettingsTable, StoredSetting, scope_id
from bot.translations import gettext as _


class Scope(StrEnum):
    """Where a setting can hold, from narrow to wide."""

    ME = PERSONAL_SCOPE
    THREAD = "thread"
    CHANNEL = "channel"
    WORKSPACE = "workspace"
    GLOBAL = "global"


class SettingName(StrEnum):
    """The settings that there are."""

    MODEL = "model"
    PERSONA = "persona"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting and the scopes it may be set in."""

    name: SettingName
    scopes: tuple[Scope, ...] = tuple(Scope)


SETTINGS: Mapping[SettingName, Setting] = {
    SettingName.MODEL: Setting(SettingName.MODEL),
    SettingName.PERSONA: Setting(SettingName.PERSONA),
    SettingName.RAW: Setting(SettingName.RAW, (Scope.CHANNEL,)),
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value that holds, and the scope it came from; None means the configuration."""

    value: str
    scope: Scope | None


def scope_key(scope: Scope, conversation: ConversationRef, author: Author) -> ScopeKey | None:
    """The stored key of a scope as seen from a member in a conversation; None if not in one."""
    here, place = conversation, (conversation.platform, conversation.installation_id)
    match scope:
        case Scope.ME:
            parts = (here.platform, author.id)
        case Scope.THREAD:
            if here.thread_id is None:
                return None
            parts = (*place, here.channel_id, here.thread_id)
        case Scope.CHANNEL:
            parts = (*place, here.channel_id)
        case Scope.WORKSPACE:
            parts = place
        case Scope.GLOBAL:
            parts = ()
    return ScopeKey(scope.value, scope_id(*parts))


class ScopedSettings:
    """Reads and writes the settings of the store, over the configuration's defaults.

    `given` values, from the command line, go before all others until they are set anew.
    """

    def __init__(
        self,
        table: SettingsTable,
        defaults: Mapping[SettingName, str],
        clock: Callable[[], datetime],
        given: Mapping[SettingName, str] | None = None,
    ) -> None:
        self._table = table
        self._given = dict(given or {})
        self._defaults = defaults
        self._clock = clock

    async def candidates(
        self, name: SettingName, conversation: ConversationRef, author: Author
    ) -> list[Resolved]:
        """Every value that could hold, the one that does first, the configuration's last."""
        keys = {
            key: scope
            for scope in SETTINGS[name].scopes
            if (key := scope_key(scope, conversation, author)) is not None
        }
        stored = {row.scope: row.value for row in await self._table.read(name.value, [*keys])}
        found = [Resolved(stored[key], scope) for key, scope in keys.items() if key in stored]
        first = [Resolved(self._given[name], None)] if name in self._given else []
        return [*first, *found, Resolved(self._defaults[name], None)]

    async def resolve(
        self, name: SettingName, conversation: ConversationRef, author: Author
    ) -> Resolved:
        """The value that holds for this member in this conversation."""
        return (await self.candidates(name, conversation, author))[0]

    async def set(
        self,
        name: SettingName,
        value: str,
        scope: Scope,
        conversation: ConversationRef,
        author: Author,
    ) -> None:
        """Set a value for a scope. Raises `UsageError` where that scope does not exist here."""
        key = scope_key(scope, conversation, author)
        if key is None or scope not in SETTINGS[name].scopes:
            raise UsageError(
                _("There is no {scope} here to set {name} for.").format(
                    scope=scope.value, name=name.value
                )
            )
        self._given.pop(name, None)
        who = f"{conversation.platform}:{author.id}"
        await self._table.write(StoredSetting(key, name.value, value, False, who, self._clock()))
