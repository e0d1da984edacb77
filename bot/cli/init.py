"""`fireside init`: a few questions, then `.env` and `fireside.toml` as they were answered.

What is in either file already stays, except the values that were asked for.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

import typer
from dotenv import set_key
from rich.console import Console

from bot.cli.download_progress import shown_progress
from bot.cli.found_models import look
from bot.cli.invocation import Invocation, invocation
from bot.cli.model_choice import (
    Choice,
    ask,
    description,
    show_unusable,
    take_entry,
    take_found,
    this_machine,
)
from bot.cli.speeds import speeds
from bot.errors import ModelError, UsageError
from bot.models.proposals import Machine, Proposal, proposals, read_bytes
from bot.models.unfinished_choice import UnfinishedChoice
from bot.platforms.discovery import adapter_modules
from bot.translations import gettext as _
from config.catalogue import Catalogue, ModelEntry
from config.loading import DEFAULT
from config.sources import DOTENV


class AskingModule(Protocol):
    """An adapter's module that can ask for what its platform needs."""

    def set_up(self, console: Console) -> Mapping[str, str]:
        """Ask, and say what is left to do; variables for `.env`, empty where it is not wanted."""
        ...


def init(context: typer.Context) -> None:
    """Ask for the platforms and the model, and write them down."""
    if not sys.stdin.isatty():
        raise UsageError(
            _(
                "`fireside init` asks questions and needs a terminal; docs/configuration.md lists "
                "what can be set without one."
            )
        )
    run, console = invocation(context), Console()
    secrets = _ask_platforms(console)
    _write_secrets(secrets)
    _ask_model(run, console)
    _say_what_is_next(console, has_platform=bool(secrets))


def _ask_platforms(console: Console) -> dict[str, str]:
    found: dict[str, str] = {}
    for _platform, name in adapter_modules():
        module = import_module(name)
        if hasattr(module, "set_up"):
            found |= cast("AskingModule", module).set_up(console)
    return found


def _ask_model(run: Invocation, console: Console) -> None:
    """Have a model chosen, and download it where it is not here."""
    console.print(_("Looking for models on this machine …"))
    settings, unfinished = run.loaded.settings, UnfinishedChoice(run.loaded.settings.data_dir)
    machine, known = this_machine(settings), asyncio.run(speeds(run))
    found = look().within(machine.budget_bytes)
    show_unusable(console, found)
    proposed = _with_unfinished(
        proposals(run.catalogue, machine, known), run.catalogue, unfinished.model, machine
    )
    here = [one for one in proposed if run.library.installed(one.entry)]
    groups: dict[str, Sequence[Choice]] = {
        _("On this machine:"): [*found.usable, *here],
        _("To download, best for this machine first:"): [
            one for one in proposed if one not in here
        ],
    }
    if not any(groups.values()):
        console.print(_("No other model fits into the memory of this machine."))
        return
    is_chosen = run.loaded.origins["model"] != DEFAULT
    choice = ask(
        console,
        groups,
        lambda one: description(one, machine, known),
        otherwise=_("none of these: keep {name}").format(name=settings.model),
        default=0 if is_chosen and unfinished.model is None else 1,
    )
    if isinstance(choice, Proposal):
        _take_proposed(run, console, choice.entry, unfinished)
    elif choice is not None:
        unfinished.forget()
        take_found(run, console, choice)


def _with_unfinished(
    proposed: Sequence[Proposal], catalogue: Catalogue, name: str | None, machine: Machine
) -> Sequence[Proposal]:
    """The proposals, what was chosen before and did not arrive first."""
    entry = catalogue.entries.get(name or "")
    if entry is None:
        return proposed
    first = Proposal(entry, machine.tokens_per_s(read_bytes(entry)))
    return [first, *(one for one in proposed if one.entry != entry)]


def _take_proposed(
    run: Invocation, console: Console, entry: ModelEntry, unfinished: UnfinishedChoice
) -> None:
    """Download a model where it is not here; one that fails to arrive is remembered."""
    if run.library.installed(entry) is None:
        console.print(
            _("Meanwhile {name} answers: `fireside chat` works already.").format(
                name=run.loaded.settings.model
            )
        )
        unfinished.note(entry.name)
        try:
            with shown_progress(entry) as progress:
                run.library.pull(entry, progress)
        except ModelError as error:
            console.print(error.text, markup=False)
            text = _("Run `fireside init` again to continue: it remembers {name}.")
            console.print(text.format(name=entry.name), markup=False)
            return
    unfinished.forget()
    take_entry(run, console, entry.name)


def _write_secrets(variables: Mapping[str, str]) -> None:
    """Set the variables in `.env`, which only its owner may read from the first byte on."""
    if not variables:
        return
    os.close(os.open(DOTENV, os.O_CREAT | os.O_WRONLY, 0o600))
    DOTENV.chmod(0o600)
    for name, value in variables.items():
        set_key(DOTENV, name, value, quote_mode="never")
    DOTENV.chmod(0o600)


def _say_what_is_next(console: Console, *, has_platform: bool) -> None:
    start = "fireside run" if has_platform else "fireside chat"
    console.print(
        _("Done. Start it with `{start}`; `fireside doctor` checks everything.").format(start=start)
    )
