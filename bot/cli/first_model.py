"""The first model of a fresh installation: one that is here already, if the owner wants it."""

import sys

import typer
from rich.console import Console

from bot.cli.found_models import look
from bot.cli.invocation import Invocation
from bot.cli.model_choice import ask, description, show_unusable, take_found, this_machine
from bot.translations import gettext as _
from config.catalogue import ModelEntry


def takes_found(run: Invocation, starter: ModelEntry) -> bool:
    """Offer the models that other programs have; whether one of them was taken. `starter` comes
    where none is. Without a terminal they are only named."""
    found = look()
    if not found.usable:
        return False
    if not sys.stdin.isatty():
        typer.echo(found.summary, err=True)
        return False
    console, machine = Console(), this_machine(run.loaded.settings)
    found = found.within(machine.budget_bytes)
    show_unusable(console, found)
    choice = ask(
        console,
        {_("On this machine:"): found.usable},
        lambda one: description(one, machine, {}),
        otherwise=_otherwise(run, starter),
    )
    if choice is None:
        return False
    take_found(run, console, choice)
    return True


def _otherwise(run: Invocation, starter: ModelEntry) -> str:
    if run.loaded.settings.hub.offline:
        return _("none of these: the small built-in model answers")
    return _("none of these: download {title}").format(title=starter.title)
