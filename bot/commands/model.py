"""/model: list the models, switch, and say what one can and cannot do."""

from collections.abc import Mapping

from bot.command import Caller, Command, Parameter, ParameterKind, Said
from bot.commands.scope import require_may_set, scope_of, scope_parameter
from bot.engine.failures import size_text
from bot.engine.text.families import capabilities
from bot.models.available import Models, is_on_this_machine, place_of
from bot.settings.personas import following
from bot.settings.scoped import ScopedSettings, origin, whom
from bot.settings.specs import SETTINGS, SettingName
from bot.store.ports.exchanges import Exchanges
from bot.translations import gettext as _
from config.catalogue import ModelEntry

SPEC = SETTINGS[SettingName.MODEL]


class ModelCommands:
    """The commands of the group `/model`."""

    def __init__(self, models: Models, settings: ScopedSettings, exchanges: Exchanges) -> None:
        self._models = models
        self._exchanges = exchanges
        self._settings = settings

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        name = Parameter("name", _("a model's name"), ParameterKind.MODEL)
        return (
            Command("model list", _("Show the models to choose from"), self.list, is_private=True),
            Command("model use", _("Switch the model"), self.use, (name, scope_parameter())),
            Command(
                "model info",
                _("What a model can and cannot do"),
                self.info,
                (name,),
                is_private=True,
            ),
            Command("model why", _("Which model answers here, and why"), self.why, is_private=True),
        )

    async def list(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Installed models first, then the others with the way to get them."""
        current = await self._current(caller)
        here = [entry for entry in self._models if self._models.is_installed(entry)]
        others = [entry for entry in self._models if not self._models.is_installed(entry)]
        speeds = await self._exchanges.speeds()
        loaded = self._models.resident()

        def line(entry: ModelEntry) -> str:
            state = "" if entry in others else _("not loaded")
            state = _("loaded") if entry.name in loaded else state
            return _line(entry, current, state, speeds.get(entry.name))

        lines = [_("Models to choose from:"), *(line(entry) for entry in here)]
        if others:
            lines += ["", _("Not installed yet (the owner runs `fireside models pull NAME`):")]
            lines += [line(entry) for entry in others]
        return Said("\n".join(lines), is_private=True)

    async def use(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Switch the model for a scope; the present one stays where the new one is not here."""
        entry = self._models.get(arguments["name"])
        self._models.require_installed(entry)
        scope = scope_of(SPEC, caller, arguments)
        require_may_set(SPEC, scope, caller)
        await self._settings.set(
            SettingName.MODEL, entry.name, scope, caller.conversation, caller.author
        )
        current = await self._current(caller)
        text = _("{title} ({name}) answers {whom} from the next message on.").format(
            title=entry.title, name=entry.name, whom=whom(scope)
        )
        if current != entry.name:
            text += " " + _("For you here, {current} still goes first.").format(current=current)
        return Said(text)

    async def info(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """The catalogue's word on one model."""
        entry = self._models.get(arguments["name"])
        facts = capabilities(entry)
        place = place_of(entry)
        state = _("installed") if self._models.is_installed(entry) else _("not installed")
        if place is not None:
            state = _("remote")
        lines = [
            f"**{entry.title}** (`{entry.name}`, {state})",
            entry.description,
            _("Runs on: {place}. {privacy}").format(place=place, privacy=_privacy(entry))
            if place
            else "",
            _("Limits: {limits}").format(limits=entry.all_limits) if entry.all_limits else "",
            _("Kind: {kind}; context window: {tokens} tokens; languages: {languages}").format(
                kind=facts.kind,
                tokens=facts.context_tokens,
                languages=", ".join(facts.languages),
            ),
            _("How it runs: {how}").format(how=self._models.run_text(entry)),
            _("Persona: {answer}").format(answer=following(entry)),
            _("Licence: {licence}").format(licence=entry.licence),
        ]
        return Said("\n".join(line for line in lines if line), is_private=True)

    async def why(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Which model answers the caller here, what chose it, and what it passed over."""
        settings = await self._settings.effective(caller.conversation, caller.author)
        lines: list[str] = []
        for candidate in settings.candidates(SettingName.MODEL):
            name, chosen_by = candidate.value or "", origin(candidate)
            if self._models.can_answer(name):
                state = _("loaded") if name in self._models.resident() else _("not loaded yet")
                text = _("`{name}` answers you here ({origin}; {state}).")
                lines.append(text.format(name=name, origin=chosen_by, state=state))
                break
            text = _("`{name}` ({origin}) is passed over: {reason}.")
            in_catalogue = name in self._models
            reason = _("not installed") if in_catalogue else _("no longer in the catalogue")
            lines.append(text.format(name=name, origin=chosen_by, reason=reason))
        if settings[SettingName.MODEL].is_locked:
            lines.append(_("It is locked: nobody can choose another one more narrowly."))
        return Said("\n".join(lines), is_private=True)

    async def _current(self, caller: Caller) -> str:
        resolved = await self._settings.resolve(
            SettingName.MODEL, caller.conversation, caller.author
        )
        return resolved.value or ""


def _privacy(entry: ModelEntry) -> str:
    """What becomes of a question to a remote model."""
    if is_on_this_machine(entry):
        return _("What you ask it stays on this machine.")
    return _("What you ask it, and the conversation before it, is sent there.")


def _line(entry: ModelEntry, current: str, state: str, tokens_per_s: float | None) -> str:
    place = place_of(entry)
    speed = _("{speed:.0f} tokens/s here")
    own = [state, size_text(entry.weight_bytes), capabilities(entry).kind.value]
    facts = [
        _("in use here") if entry.name == current else "",
        *([_("runs on {place}").format(place=place)] if place else own),
        speed.format(speed=tokens_per_s) if tokens_per_s is not None else "",
        entry.label or "",
    ]
    return f"- `{entry.name}`: {entry.title} ({', '.join(fact for fact in facts if fact)})"
