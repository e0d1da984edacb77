"""`fireside init`: a few questions, then `.env` and `fireside.toml` as they were answered.

What stands in either file already stays as it is, but for the values that were asked for.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import psutil
import tomlkit
import typer
from dotenv import set_key
from rich.console import Console
from rich.prompt import Confirm
from tomlkit.exceptions import TOMLKitError

from bot.cli.download_progress import shown_progress
from bot.cli.invocation import invocation
from bot.cli.models import fits
from bot.engine.failures import size_text
from bot.errors import ModelError, UsageError
from bot.models.library import ModelLibrary
from bot.platforms.discovery import adapter_modules
from bot.translations import gettext as _
from config.catalogue import Catalogue, ModelEntry
from config.sources import CONFIG_NAME, DOTENV


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
    model = _ask_model(console, run.catalogue, run.library)
    if model is not None:
        _write_settings({"model": model})
    _say_what_is_next(console, has_platform=bool(secrets))


def _ask_platforms(console: Console) -> dict[str, str]:
    found: dict[str, str] = {}
    for _platform, name in adapter_modules():
        module = import_module(name)
        if hasattr(module, "set_up"):
            found |= cast("AskingModule", module).set_up(console)
    return found


def _ask_model(console: Console, catalogue: Catalogue, library: ModelLibrary) -> str | None:
    """The best model for this machine, once it is downloaded; None to keep the present one."""
    entry = best_fitting(catalogue, psutil.virtual_memory().total)
    if entry is None or library.installed(entry):
        return entry.name if entry is not None else None
    size = size_text(entry.weight_bytes)
    console.print(
        _("For this machine {title} fits best (about {size}, {licence}).").format(
            title=entry.title, size=size, licence=entry.licence
        )
    )
    if not Confirm.ask(_("Download it now?"), console=console, default=True):
        return None
    console.print(_("Until it is here the built-in model answers: `fireside chat` works already."))
    try:
        with shown_progress(entry) as progress:
            library.pull(entry, progress)
    except ModelError as error:
        console.print(error.text, markup=False)
        return None
    return entry.name


def best_fitting(catalogue: Catalogue, memory_bytes: int) -> ModelEntry | None:
    """The largest model for chats of the catalogue that fits this much memory as it is stored."""
    fitting = [
        entry
        for entry in catalogue
        if not entry.builtin
        and entry.has_system_prompt
        and entry.weight_bits is None
        and entry.fits_gb is not None
        and fits(entry.fits_gb, memory_bytes)
    ]
    return max(fitting, key=lambda entry: entry.weight_bytes, default=None)


def _write_secrets(variables: Mapping[str, str]) -> None:
    """Set the variables in `.env`, which only its owner may read from the first byte on."""
    if not variables:
        return
    os.close(os.open(DOTENV, os.O_CREAT | os.O_WRONLY, 0o600))
    DOTENV.chmod(0o600)
    for name, value in variables.items():
        set_key(DOTENV, name, value, quote_mode="never")
    DOTENV.chmod(0o600)


def _write_settings(values: Mapping[str, str]) -> None:
    """Set top-level values in `fireside.toml`; comments and everything else stay."""
    file = Path(CONFIG_NAME)
    try:
        document = tomlkit.parse(file.read_text("utf-8") if file.exists() else "")
    except TOMLKitError as error:
        text = _("{file} is not valid TOML, so nothing was written to it. Mend it first.")
        raise UsageError(text.format(file=file)) from error
    for name, value in values.items():
        document[name] = value
    file.write_text(tomlkit.dumps(document), "utf-8")


def _say_what_is_next(console: Console, *, has_platform: bool) -> None:
    start = "fireside run" if has_platform else "fireside chat"
    console.print(
        _("Done. Start it with `{start}`; `fireside doctor` checks everything.").format(start=start)
    )
