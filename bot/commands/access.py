"""/access: who may talk to the bot, and where."""

from collections.abc import Mapping

from bot.command import Caller, Command, Parameter, Said, Who
from bot.commands.scope import require_may_set, scope_of, scope_parameter
from bot.settings.scoped import ScopedSettings, origin, whom
from bot.settings.specs import PLACES, SETTINGS, Scope, SettingName
from bot.settings.values import entries_in, entry_of, shown_entry
from bot.translations import gettext as _

WHO = "WHO"


class AccessCommands:
    """The commands of the group `/access`: they change the settings `allow` and `deny`.

    They are open to who is shut out, so that no manager can lock themselves out for good.
    """

    def __init__(self, settings: ScopedSettings) -> None:
        self._settings = settings

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        who = Parameter(
            "who",
            _("a mention, or user:ID, role:ID, channel:ID or workspace:ID"),
            takes_mentions=True,
        )
        parameters = (who, scope_parameter(PLACES))
        return (
            Command(
                "access show",
                _("Who may talk to me here"),
                self.show,
                is_private=True,
                is_open=True,
            ),
            Command(
                "access allow",
                _("Let only the people, roles or places on a list talk to me"),
                self.allow,
                parameters,
                Who.MANAGER,
                is_open=True,
            ),
            Command(
                "access deny",
                _("Block someone"),
                self.deny,
                parameters,
                Who.MANAGER,
                is_open=True,
            ),
            Command(
                "access remove",
                _("Take someone off both lists"),
                self.remove,
                parameters,
                Who.MANAGER,
                is_open=True,
            ),
        )

    async def show(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Every list that counts here, with the scope it is of."""
        settings = await self._settings.effective(caller.conversation, caller.author)
        lines: list[str] = []
        for name, said in (
            (SettingName.ALLOW, _("Only these may talk to me ({origin}): {entries}")),
            (SettingName.DENY, _("These may not talk to me ({origin}): {entries}")),
        ):
            lines += [
                said.format(origin=origin(one), entries=f"`{one.value}`")
                for one in settings.candidates(name)
                if one.value
            ]
        return Said("\n".join(lines or [_("Everybody may talk to me here.")]), is_private=True)

    async def allow(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Add to those who alone may talk."""
        scope = await self._change(SettingName.ALLOW, caller, arguments, is_added=True)
        text = _(
            "{who} is on the list of {whom}. From now on only those on it may talk to me:"
            " /access show."
        )
        return Said(text.format(who=_shown(arguments), whom=whom(scope)))

    async def deny(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Add to those who may not talk."""
        scope = await self._change(SettingName.DENY, caller, arguments, is_added=True)
        text = _("{who} may not talk to me any more: the list of {whom} is shown by /access show.")
        return Said(text.format(who=_shown(arguments), whom=whom(scope)))

    async def remove(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Take an entry off the lists of a scope."""
        for name in (SettingName.ALLOW, SettingName.DENY):
            scope = await self._change(name, caller, arguments, is_added=False)
        text = _("{who} is on no list of {whom} any more: /access show.")
        return Said(text.format(who=_shown(arguments), whom=whom(scope)))

    async def _change(
        self, name: SettingName, caller: Caller, arguments: Mapping[str, str], *, is_added: bool
    ) -> Scope:
        """Add an entry to a scope's list, or take it off; an empty list is none."""
        spec = SETTINGS[name]
        entry = entry_of(WHO, arguments["who"].strip())
        scope = scope_of(spec, caller, arguments)
        require_may_set(spec, scope, caller)
        where, who = caller.conversation, caller.author
        settings = await self._settings.effective(where, who)
        own = next((one.value for one in settings.candidates(name) if one.scope is scope), None)
        others = [one for one in entries_in(own or "") if one != entry]
        value = spec.check(", ".join([*others, entry] if is_added else others))
        if value:
            await self._settings.set(name, value, scope, where, who)
        else:
            await self._settings.reset(name, scope, where, who)
        return scope


def _shown(arguments: Mapping[str, str]) -> str:
    """Whom a command concerned."""
    return shown_entry(WHO, arguments["who"].strip())
