"""The parameter "for SCOPE" that several commands share: its default, and who may set what."""

from collections.abc import Iterable, Mapping

from bot.command import Caller, Parameter, ParameterKind, Who
from bot.errors import NotPermitted
from bot.settings.scoped import whom
from bot.settings.specs import Scope, SettingSpec
from bot.translations import gettext as _


def scope_parameter(scopes: Iterable[Scope] = Scope) -> Parameter:
    """The optional "for SCOPE", of these scopes."""
    return Parameter(
        "scope",
        _("for whom"),
        ParameterKind.SCOPE,
        is_required=False,
        keyword="for",
        choices=tuple(scope.value for scope in scopes),
    )


def scope_of(spec: SettingSpec, caller: Caller, arguments: Mapping[str, str]) -> Scope:
    """The scope that a command names; by default the thread or the channel where it was given."""
    if given := arguments.get("scope"):
        return Scope(given.strip().lower())
    in_thread = caller.conversation.thread_id is not None
    return Scope.THREAD if in_thread and Scope.THREAD in spec.scopes else Scope.CHANNEL


def require_may_set(spec: SettingSpec, scope: Scope, caller: Caller) -> None:
    """Anyone for themselves and in their direct messages; managers here; owners everywhere.

    Raises `NotPermitted`.
    """
    is_here = scope in (Scope.THREAD, Scope.CHANNEL)
    is_theirs = is_here and caller.manages and spec.who is not Who.OWNER
    if scope is Scope.ME or caller.is_owner or is_theirs:
        return
    name = spec.name.value
    if not is_here or spec.who is Who.OWNER:
        text = _("Only an owner of this bot may set {name} for {scope}.")
        raise NotPermitted(text.format(name=name, scope=whom(scope)))
    text = _("Only those who manage this channel may set {name} for {scope}.")
    if Scope.ME in spec.scopes:
        text += " " + _("You can set it for yourself: add `for me`.")
    raise NotPermitted(text.format(name=name, scope=whom(scope)))
