"""/settings: what holds here and why, changing it, and taking changes back."""

from collections.abc import Mapping, Sequence

from bot.command import Caller, Command, Parameter, Said, Who
from bot.commands.scope import require_may_set, scope_of, scope_parameter
from bot.models.available import Models
from bot.settings.scoped import Resolved, ScopedSettings, origin, whom
from bot.settings.specs import SETTINGS, Scope, SettingKind, SettingName, SettingSpec
from bot.store.ports.settings_table import Held, SettingChange
from bot.translations import gettext as _

MAX_SHOWN_CHANGES = 15
MAX_VALUE_CHARS = 80


class SettingsCommands:
    """The commands of the group `/settings`."""

    def __init__(self, settings: ScopedSettings, models: Models) -> None:
        self._settings = settings
        self._models = models

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        names = tuple(name.value for name in SettingName)
        key = Parameter("key", _("which setting"), choices=names)
        maybe_key = Parameter("key", _("which setting"), is_required=False, choices=names)
        lists = (SettingName.ALLOW.value, SettingName.DENY.value)
        value = Parameter("value", _("what it shall be"), takes_mentions_for=lists)
        scope = scope_parameter()
        # Nothing is narrower than one person.
        wide = scope_parameter(one for one in Scope if one is not Scope.ME)
        return (
            Command(
                "settings show",
                _("What holds here, and where each value comes from"),
                self.show,
                (maybe_key,),
                is_private=True,
            ),
            Command("settings set", _("Change a setting"), self.set, (key, value, scope)),
            Command("settings reset", _("Remove a setting's value"), self.reset, (key, scope)),
            Command(
                "settings lock",
                _("Keep narrower scopes from changing a setting"),
                self.lock,
                (key, wide),
                Who.MANAGER,
            ),
            Command(
                "settings unlock",
                _("Let narrower scopes change a setting again"),
                self.unlock,
                (key, wide),
                Who.MANAGER,
            ),
            Command("settings undo", _("Take back your last change"), self.undo),
            Command(
                "settings history",
                _("Who changed what here"),
                self.history,
                (maybe_key,),
                is_private=True,
            ),
        )

    async def show(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """The effective values with their scopes."""
        effective = await self._settings.effective(caller.conversation, caller.author)
        if given := arguments.get("key"):
            spec = _spec(given)
            lines = [*_described(spec), *_reasons(spec, effective.candidates(spec.name))]
            return Said("\n".join(lines), is_private=True)
        lines: list[str] = []
        for kind, title in (
            (SettingKind.PREFERENCE, _("Preferences, as they hold for you here:")),
            (SettingKind.POLICY, _("Rules of this place:")),
        ):
            lines += ["", title] if lines else [title]
            lines += [
                f"- `{spec.name.value}`: {_shown(spec, effective[spec.name])}"
                for spec in SETTINGS.values()
                if spec.kind is kind
            ]
        return Said("\n".join(lines), is_private=True)

    async def set(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Change a value; who has a narrower one of their own keeps it, and is told."""
        spec = _spec(arguments["key"])
        value = spec.check(arguments["value"])
        if spec.name is SettingName.MODEL:
            entry = self._models.get(value)
            self._models.require_installed(entry)
            value = entry.name
        scope = scope_of(spec, caller, arguments)
        require_may_set(spec, scope, caller)
        await self._settings.set(spec.name, value, scope, caller.conversation, caller.author)
        text = _("{name} is {value} for {whom} from the next message on.").format(
            name=spec.name.value, value=_quoted(value), whom=whom(scope)
        )
        return Said(text + await self._still(spec, value, caller), is_private=scope is Scope.ME)

    async def reset(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Remove a value, so that the next wider one holds."""
        spec = _spec(arguments["key"])
        scope = scope_of(spec, caller, arguments)
        require_may_set(spec, scope, caller)
        where, who = caller.conversation, caller.author
        if not await self._settings.reset(spec.name, scope, where, who):
            text = _("{name} was not set for {whom}, so nothing changed.")
            return Said(text.format(name=spec.name.value, whom=whom(scope)), is_private=True)
        now = (await self._settings.effective(where, who))[spec.name]
        text = _("{name} is no longer set for {whom}. For you here it is {value}.")
        said = text.format(name=spec.name.value, whom=whom(scope), value=_shown(spec, now))
        return Said(said, is_private=scope is Scope.ME)

    async def lock(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Fix what holds in a scope for all narrower ones."""
        spec = _spec(arguments["key"])
        scope = scope_of(spec, caller, arguments)
        require_may_set(spec, scope, caller)
        holds = await self._settings.lock(spec.name, scope, caller.conversation, caller.author)
        text = _("{name} is {value} for {whom}, and nobody can set it more narrowly now.")
        value = _quoted(holds.value or "")
        return Said(text.format(name=spec.name.value, value=value, whom=whom(scope)))

    async def unlock(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Open it again; the value stays."""
        spec = _spec(arguments["key"])
        scope = scope_of(spec, caller, arguments)
        require_may_set(spec, scope, caller)
        where, who = caller.conversation, caller.author
        if await self._settings.unlock(spec.name, scope, where, who):
            text = _("{name} can be set more narrowly than for {whom} again.")
        else:
            text = _("{name} was not locked for {whom}, so nothing changed.")
        return Said(text.format(name=spec.name.value, whom=whom(scope)))

    async def undo(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Take back the caller's own last change here."""

        def permit(spec: SettingSpec, scope: Scope) -> None:
            require_may_set(spec, scope, caller)

        change = await self._settings.undo(caller.conversation, caller.author, permit)
        gone = _("Taken back: {name} is no longer set for {whom}; it was {after}.")
        back = _("Taken back: {name} is {before} for {whom} again.")
        text = (gone if change.before is None else back).format(
            name=change.name,
            whom=whom(Scope(change.scope.kind)),
            before=_held(change.before),
            after=_held(change.after),
        )
        return Said(text, is_private=change.scope.kind == Scope.ME.value)

    async def history(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """The trail of changes in the scopes of this place."""
        trail = await self._settings.changes(caller.conversation, caller.author)
        wanted = arguments.get("key", "").strip().lower()
        fitting = [change for change in trail if wanted in ("", change.name)]
        if not fitting:
            return Said(_("Nobody has changed that here."), is_private=True)
        shown = fitting[:MAX_SHOWN_CHANGES]
        lines = [
            _("Who changed what here, the latest first:"),
            *(_line(one, caller) for one in shown),
        ]
        if left := len(fitting) - len(shown):
            lines += ["", _("… and {number} earlier ones").format(number=left)]
        return Said("\n".join(lines), is_private=True)

    async def _still(self, spec: SettingSpec, value: str, caller: Caller) -> str:
        """A word to who has set something narrower than what they set now."""
        holds = (await self._settings.effective(caller.conversation, caller.author))[spec.name]
        if holds.value == value:
            return ""
        text = " " + _("For you here, {value} still goes first.")
        return text.format(value=_shown(spec, holds))


def _spec(key: str) -> SettingSpec:
    return SETTINGS[SettingName(key.strip().lower())]


def _described(spec: SettingSpec) -> list[str]:
    return [f"**{spec.name.value}**: {_(spec.help)}"]


def _reasons(spec: SettingSpec, candidates: Sequence[Resolved]) -> list[str]:
    """The value that holds, and those that would if it were reset."""
    first, *rest = candidates
    lines = [_("It is {value}.").format(value=_shown(spec, first))]
    if rest:
        lines.append(_("Otherwise it would be, in this order:"))
        lines += [f"- {_shown(spec, one)}" for one in rest]
    return lines


def _shown(spec: SettingSpec, resolved: Resolved) -> str:
    """A value and where it came from."""
    if resolved.value is None and spec.name is SettingName.PERSONA:
        return _("the default, for models that follow one")
    if resolved.value is None:
        is_policy = spec.kind is SettingKind.POLICY
        return _("not set") if is_policy else _("the model's own")
    lock = ", " + _("locked") if resolved.is_locked else ""
    return f"{_quoted(resolved.value)} ({origin(resolved)}{lock})"


def _quoted(value: str) -> str:
    """A value on one line, in code so that nothing in it is read as Markdown."""
    line = " ".join(value.replace("`", "'").split())
    short = line if len(line) <= MAX_VALUE_CHARS else f"{line[:MAX_VALUE_CHARS]}…"
    return f"`{short}`" if short else _("empty")


def _held(held: Held | None) -> str:
    if held is None:
        return _("not set")
    lock = " " + _("(locked)") if held.is_locked else ""
    return f"{_quoted(held.value)}{lock}"


def _line(change: SettingChange, caller: Caller) -> str:
    is_own = change.by == f"{caller.conversation.platform}:{caller.author.id}"
    text = _("- {time} UTC, {who}: `{name}` for {whom}, from {before} to {after}").format(
        time=f"{change.at:%Y-%m-%d %H:%M}",
        who=_("you") if is_own else change.by,
        name=change.name,
        whom=whom(Scope(change.scope.kind)),
        before=_held(change.before),
        after=_held(change.after),
    )
    return text if change.undoes is None else text + " " + _("(taken back)")
