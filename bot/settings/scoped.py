"""Scoped settings: what holds here, for this member, and where the value came from.

Preferences go from narrow to wide: me, thread, channel, workspace, global, then the configuration.
Policies have no personal scope and go from wide to narrow: each place may be stricter or laxer
than the one around it. A locked value is the last word of its scope on all narrower ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.errors import NotPermitted, UsageError
from bot.messages import Author, ConversationRef
from bot.settings.specs import SETTINGS, Scope, SettingName, SettingSpec, Trigger
from bot.store.ports.scopes import ScopeKey, scope_id, scope_parts
from bot.store.ports.settings_table import Held, SettingChange, SettingsTable, StoredSetting
from bot.translations import gettext as _

NOBODY = Author("", "")
"""Stands for the member where only the place matters."""

MAX_CHANGES = 200
"""How far back the trail of changes is read."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value that may hold, and the scope it came from; None means the configuration.

    The value is None where nobody chose one: then it is the model's own.
    """

    value: str | None
    scope: Scope | None
    is_locked: bool = False


class Effective:
    """Every setting as it holds for one member in one conversation."""

    def __init__(self, candidates: Mapping[SettingName, Sequence[Resolved]]) -> None:
        self._candidates = candidates

    def __getitem__(self, name: SettingName) -> Resolved:
        """The value that holds."""
        return self._candidates[name][0]

    def candidates(self, name: SettingName) -> Sequence[Resolved]:
        """Every value that could hold, the one that does first, the configuration's last."""
        return self._candidates[name]

    def text(self, name: SettingName) -> str:
        """The value that holds, "" for none."""
        return self[name].value or ""

    def number(self, name: SettingName) -> float | None:
        """The number that holds; None where it is the model's own."""
        value = self[name].value
        return None if value is None else float(value)

    def is_on(self, name: SettingName) -> bool:
        """Whether a switch is on."""
        return self[name].value == "on"


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


def in_order(spec: SettingSpec, stored: Mapping[Scope, StoredSetting]) -> list[Resolved]:
    """The stored values that could hold, the one that does first.

    They are read from wide to narrow until a lock; of what was read the narrowest holds.
    """
    read: list[Resolved] = []
    for scope in reversed(spec.scopes):
        if (row := stored.get(scope)) is not None:
            read.append(Resolved(row.value, scope, row.is_locked))
            if row.is_locked:
                break
    return read[::-1]


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

    async def effective(self, conversation: ConversationRef, author: Author) -> Effective:
        """Every setting as it holds for this member in this conversation."""
        keys = _keys(conversation, author)
        stored: dict[SettingName, dict[Scope, StoredSetting]] = {name: {} for name in SettingName}
        for row in await self._table.read_all([*keys]):
            # A setting that another version of Fireside knew is left alone.
            if row.name in SETTINGS:
                stored[SettingName(row.name)][keys[row.scope]] = row
        return Effective({name: self._candidates(name, rows) for name, rows in stored.items()})

    async def resolve(
        self, name: SettingName, conversation: ConversationRef, author: Author
    ) -> Resolved:
        """The value that holds for this member in this conversation."""
        return (await self.effective(conversation, author))[name]

    async def trigger(self, conversation: ConversationRef) -> Trigger:
        """What is answered in a place, whoever writes: asked for every message that is heard."""
        keys = _keys(conversation, NOBODY)
        rows = await self._table.read(SettingName.TRIGGER.value, [*keys])
        stored = {keys[row.scope]: row for row in rows}
        return Trigger(self._candidates(SettingName.TRIGGER, stored)[0].value or Trigger.MENTION)

    async def by_place(self, name: SettingName) -> Sequence[tuple[ScopeKey, str]]:
        """Every place's own value of a policy, narrow first: the first that one is in holds there.

        A value that a wider place's lock shuts out is left out.
        """
        rows = await self._table.everywhere(name.value)
        locked = [row.scope for row in rows if row.is_locked]
        order = [scope.value for scope in SETTINGS[name].scopes]
        held = [
            (row.scope, row.value)
            for row in rows
            if row.scope.kind in order and not any(_contains(one, row.scope) for one in locked)
        ]
        return sorted(held, key=lambda one: order.index(one[0].kind))

    async def set(
        self,
        name: SettingName,
        value: str,
        scope: Scope,
        conversation: ConversationRef,
        author: Author,
    ) -> None:
        """Set a value, which the caller has checked, for a scope; a lock there stays.

        Raises `UsageError` where that scope does not exist here, and `NotPermitted` where a wider
        one has locked the setting.
        """
        key, stored = await self._open(name, scope, conversation, author)
        is_locked = scope in stored and stored[scope].is_locked
        await self._write(name, key, Held(value, is_locked), conversation, author)

    async def reset(
        self, name: SettingName, scope: Scope, conversation: ConversationRef, author: Author
    ) -> bool:
        """Remove the value of a scope; False if there was none. Raises as `set` does."""
        key, stored = await self._open(name, scope, conversation, author)
        if scope not in stored:
            return False
        await self._write(name, key, None, conversation, author)
        return True

    async def lock(
        self, name: SettingName, scope: Scope, conversation: ConversationRef, author: Author
    ) -> Resolved:
        """Keep narrower scopes from changing a setting: what holds in this scope, holds in them.

        Returns that value. Raises as `set` does, and `UsageError` where nobody chose a value.
        """
        key, stored = await self._open(name, scope, conversation, author)
        wider = {at: row for at, row in stored.items() if _is_within(scope, at)}
        holds = self._candidates(name, wider)[0]
        if holds.value is None:
            raise UsageError(
                _("Nobody has set {name} here: set it first, then lock it.").format(name=name.value)
            )
        await self._write(name, key, Held(holds.value, True), conversation, author)
        return holds

    async def unlock(
        self, name: SettingName, scope: Scope, conversation: ConversationRef, author: Author
    ) -> bool:
        """Let narrower scopes change a setting again; False if it was not locked here."""
        key, stored = await self._open(name, scope, conversation, author)
        row = stored.get(scope)
        if row is None or not row.is_locked:
            return False
        await self._write(name, key, Held(row.value, False), conversation, author)
        return True

    async def changes(
        self, conversation: ConversationRef, author: Author, limit: int = MAX_CHANGES
    ) -> Sequence[SettingChange]:
        """The trail of changes in every scope of this place, the newest first."""
        return await self._table.changes([*_keys(conversation, author)], limit)

    async def undo(
        self,
        conversation: ConversationRef,
        author: Author,
        permit: Callable[[SettingSpec, Scope], None],
    ) -> SettingChange:
        """Take back the member's own last change in this place, and return it.

        `permit` raises where they may not set that any more. What was taken back once is passed
        over, so that undoing again goes further back. Raises `UsageError` where there is nothing
        to undo, or somebody has changed the setting since.
        """
        trail = await self.changes(conversation, author)
        undone = {change.undoes for change in trail}
        by = _account(conversation, author)
        mine = (
            change
            for change in trail
            if change.by == by and change.undoes is None and change.id not in undone
        )
        change = next(mine, None)
        if change is None or change.name not in SETTINGS:
            raise UsageError(_("There is no change of yours here to undo."))
        name, scope = SettingName(change.name), Scope(change.scope.kind)
        permit(SETTINGS[name], scope)
        _key, stored = await self._open(name, scope, conversation, author)
        held = None if (row := stored.get(scope)) is None else Held(row.value, row.is_locked)
        if held != change.after:
            text = _("{name} was changed by somebody else since, so I leave it as it is.")
            raise UsageError(text.format(name=name.value))
        await self._write(name, change.scope, change.before, conversation, author, undoes=change.id)
        return change

    def _candidates(
        self, name: SettingName, stored: Mapping[Scope, StoredSetting]
    ) -> list[Resolved]:
        first = [Resolved(self._given[name], None)] if name in self._given else []
        configured = Resolved(self._defaults.get(name), None)
        return [*first, *in_order(SETTINGS[name], stored), configured]

    async def _open(
        self, name: SettingName, scope: Scope, conversation: ConversationRef, author: Author
    ) -> tuple[ScopeKey, Mapping[Scope, StoredSetting]]:
        """The key of a scope that a setting may be set in, and what is stored for it here."""
        keys, spec = _keys(conversation, author), SETTINGS[name]
        key = next((key for key, at in keys.items() if at is scope), None)
        if key is None or scope not in spec.scopes:
            raise UsageError(
                _("There is no {scope} here to set {name} for.").format(
                    scope=scope.value, name=name.value
                )
            )
        rows = await self._table.read(name.value, [*keys])
        stored = {keys[row.scope]: row for row in rows}
        for at, row in stored.items():
            if row.is_locked and at is not scope and _is_within(scope, at):
                text = _("{name} is locked for {scope}: only who may set it there can change it.")
                raise NotPermitted(text.format(name=name.value, scope=whom(at)))
        return key, stored

    async def _write(
        self,
        name: SettingName,
        key: ScopeKey,
        held: Held | None,
        conversation: ConversationRef,
        author: Author,
        undoes: int | None = None,
    ) -> None:
        self._given.pop(name, None)
        by, now = _account(conversation, author), self._clock()
        await self._table.write(key, name.value, held, by, now, undoes)


def whom(scope: Scope) -> str:
    """A scope in words, as it stands in a sentence."""
    match scope:
        case Scope.ME:
            return _("you")
        case Scope.THREAD:
            return _("this thread")
        case Scope.CHANNEL:
            return _("this conversation")
        case Scope.WORKSPACE:
            return _("this workspace")
        case Scope.GLOBAL:
            return _("everyone")


def origin(resolved: Resolved) -> str:
    """Where a value came from, in words."""
    if resolved.scope is None:
        return _("from the configuration")
    return _("set for {whom}").format(whom=whom(resolved.scope))


def _keys(conversation: ConversationRef, author: Author) -> dict[ScopeKey, Scope]:
    """The scopes that there are in a place, narrow first, by their stored keys."""
    keys = {scope_key(scope, conversation, author): scope for scope in Scope}
    return {key: scope for key, scope in keys.items() if key is not None}


def _contains(outer: ScopeKey, inner: ScopeKey) -> bool:
    """Whether a place lies in another one, and is not that itself."""
    parts = scope_parts(outer)
    return outer != inner and scope_parts(inner)[: len(parts)] == parts


def _is_within(scope: Scope, other: Scope) -> bool:
    """Whether a scope is another one or narrower."""
    order = [*Scope]
    return order.index(scope) <= order.index(other)


def _account(conversation: ConversationRef, author: Author) -> str:
    return f"{conversation.platform}:{author.id}"
