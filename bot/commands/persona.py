"""/persona: who the bot is in a conversation."""

from collections.abc import Mapping, Sequence

from bot.command import Caller, Command, Parameter, Said
from bot.commands.scope import require_may_set, scope_of, scope_parameter
from bot.models.available import Models
from bot.settings.personas import PERSONAS, persona_text
from bot.settings.scoped import Resolved, ScopedSettings, origin, whom
from bot.settings.specs import SETTINGS, Scope, SettingName
from bot.translations import gettext as _
from config.catalogue import ModelEntry
from config.settings import PERSONA

SPEC = SETTINGS[SettingName.PERSONA]


class PersonaCommands:
    """The commands of the group `/persona`."""

    def __init__(self, settings: ScopedSettings, models: Models) -> None:
        self._settings = settings
        self._models = models

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        persona = Parameter(
            "persona", _("a persona's name, or who I shall be"), suggestions=tuple(PERSONAS)
        )
        scope = scope_parameter()
        return (
            Command(
                "persona list", _("Show the personas to choose from"), self.list, is_private=True
            ),
            Command("persona show", _("Who I am here, and why"), self.show, is_private=True),
            Command("persona set", _("Say who I shall be"), self.set, (persona, scope)),
            Command("persona clear", _("Be who I was before"), self.clear, (scope,)),
        )

    async def list(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """The shipped personas, the one in use marked."""
        current = (await self._current(caller)).value
        lines = [_("Personas; `/persona set` takes a name or your own words:")]
        for name, text in PERSONAS.items():
            mark = " " + _("(in use here)") if name == current else ""
            lines.append(f"- `{name}`{mark}: {text}")
        return Said("\n".join(lines), is_private=True)

    async def show(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """The persona that holds, and where it comes from."""
        current = await self._current(caller)
        lines = await self._unset(caller) if current.value is None else _shown(current)
        # An empty line: what follows a quotation on the next one belongs to it.
        warning = [part for one in await self._warning(caller) for part in ("", one)]
        return Said("\n".join([*lines, *warning]), is_private=True)

    async def set(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Choose a shipped persona by name, or describe one."""
        given = SPEC.check(arguments["persona"])
        name = given.lower() if given.lower() in PERSONAS else None
        scope = scope_of(SPEC, caller, arguments)
        require_may_set(SPEC, scope, caller)
        value = name or given
        await self._settings.set(SPEC.name, value, scope, caller.conversation, caller.author)
        known = _("For {whom} I am `{name}` from the next message on.")
        own = _("For {whom} I am what you described from the next message on.")
        lines = [(known if name else own).format(whom=whom(scope), name=name)]
        if (await self._current(caller)).value != value:
            lines.append(_("For you here, a narrower setting still goes first: /persona show."))
        return Said("\n".join([*lines, *await self._warning(caller)]), is_private=_is_own(scope))

    async def clear(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Remove the persona of a scope."""
        scope = scope_of(SPEC, caller, arguments)
        require_may_set(SPEC, scope, caller)
        where, who = caller.conversation, caller.author
        if await self._settings.reset(SPEC.name, scope, where, who):
            text = _("The persona of {whom} is cleared. /persona show tells who I am now.")
        else:
            text = _("There was no persona of {whom}, so nothing changed.")
        return Said(text.format(whom=whom(scope)), is_private=_is_own(scope))

    async def _unset(self, caller: Caller) -> Sequence[str]:
        """What holds where nobody set a persona: it depends on the model."""
        entry = await self._model(caller)
        if entry is None or entry.takes_default_persona:
            return [_("My persona here (the default):"), _as_quote(PERSONA)]
        if not entry.has_system_prompt:
            return [_("No persona is set here.")]
        text = _("No persona is set here, so {model} uses its own system prompt.")
        return [text.format(model=entry.name)]

    async def _current(self, caller: Caller) -> Resolved:
        return await self._settings.resolve(SPEC.name, caller.conversation, caller.author)

    async def _warning(self, caller: Caller) -> tuple[str, ...]:
        """A word where the model that answers here takes no persona."""
        entry = await self._model(caller)
        if entry is None or entry.has_system_prompt:
            return ()
        text = _("The model that answers here, {model}, ignores personas.")
        return (text.format(model=entry.name),)

    async def _model(self, caller: Caller) -> ModelEntry | None:
        """The model that answers here, if the catalogue has it."""
        settings = await self._settings.effective(caller.conversation, caller.author)
        name = settings.text(SettingName.MODEL)
        return self._models.get(name) if name in self._models else None


def _is_own(scope: Scope) -> bool:
    return scope is Scope.ME


def _shown(current: Resolved) -> Sequence[str]:
    text = persona_text(current.value or "") or _("none: the model is told nothing about itself")
    return [_("My persona here ({origin}):").format(origin=origin(current)), _as_quote(text)]


def _as_quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
