"""`fireside doctor`: one line a check, with what to do where something is wrong."""

import asyncio
import os
import shutil
from collections.abc import Coroutine, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import typer

from bot.adapter import Finding
from bot.cli.invocation import Invocation, invocation
from bot.engine.failures import GIB, size_text
from bot.engine.machine.memory import available_bytes
from bot.errors import ModelError, StoreUnavailable
from bot.platforms.discovery import adapter_modules
from bot.translations import gettext as _

if TYPE_CHECKING:
    from config.catalogue import ModelEntry

MIN_FREE_DISK = GIB


class ExaminableModule(Protocol):
    """An adapter's module that can say whether its platform would let it serve."""

    def examine(self, settings: object) -> Coroutine[Any, Any, Sequence[Finding]]:
        """Ask the platform; failures are findings."""
        ...


def doctor(context: typer.Context) -> None:
    """Check the configuration, the models, this machine and the platforms."""
    findings = list(_examine(invocation(context)))
    for finding in findings:
        sign = _("ok") if finding.fix is None else _("FIX")
        fix = f" {finding.fix}" if finding.fix else ""
        typer.echo(f"{sign:<4} {finding.subject}: {finding.detail}{fix}")
    if any(finding.fix for finding in findings):
        raise typer.Exit(1)


def _examine(run: Invocation) -> Iterator[Finding]:
    settings = run.loaded.settings
    yield Finding(_("configuration"), _("every value is understood."))
    yield _data_folder(settings.data_dir)
    yield from asyncio.run(_database(settings.data_dir))
    yield _disk(settings.models_dir)
    yield from _model(run)
    yield _memory(run)
    yield from _other_programs(run)
    yield from _platforms(run)


def _data_folder(folder: Path) -> Finding:
    subject = _("data folder")
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if os.access(nearest, os.W_OK | os.X_OK) and nearest.is_dir():
        return Finding(subject, str(folder))
    fix = _("Change its permissions, or set FIRESIDE_DATA_DIR to another folder.")
    return Finding(subject, _("{folder} cannot be written.").format(folder=folder), fix)


async def _database(folder: Path) -> Sequence[Finding]:
    """Whether it opens, and what it says of a pause and of messages that were given up."""
    # Imported here: --help does without SQLAlchemy.
    from bot.models.pause import STATE, is_marked
    from bot.store.sql.store import SqlStore

    subject = _("database")
    try:
        async with await SqlStore.open(folder) as store:
            is_paused = await is_marked(store.adapter_state(STATE))
            given_up = len(await store.recovery.given_up())
    except StoreUnavailable as error:
        return [Finding(subject, error.text, _("Until then no message can be answered."))]
    found = [Finding(subject, _("it opens and is up to date."))]
    if given_up:
        detail = _("{number} were given up.").format(number=given_up)
        fix = _("See `fireside failed list`; `fireside failed retry` has them answered.")
        found.append(Finding(_("messages"), detail, fix))
    if is_paused:
        fix = _("To answer again: fireside resume")
        found.append(Finding(_("pause"), _("Fireside is paused and answers nobody."), fix))
    return found


def _disk(folder: Path) -> Finding:
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    free_bytes = shutil.disk_usage(nearest).free
    detail = _("{size} are free for models.").format(size=size_text(free_bytes))
    if free_bytes >= MIN_FREE_DISK:
        return Finding(_("disk"), detail)
    fix = _("Make room, or set FIRESIDE_MODELS_DIR to another disk.")
    return Finding(_("disk"), detail, fix)


def _model(run: Invocation) -> Sequence[Finding]:
    entry = run.catalogue.get(run.loaded.settings.model)
    if entry.is_remote:
        # Imported here: --help does without the client.
        from bot.cli.remote_check import examine_servers

        return asyncio.run(examine_servers(entry))
    try:
        folder = run.library.check(entry)
    except ModelError as error:
        return [Finding(_("model"), error.text, _("Or set FIRESIDE_MODEL to one that is here."))]
    return [Finding(_("model"), f"{entry.name}, {folder}"), _run_mode(run, entry, folder)]


def _run_mode(run: Invocation, entry: "ModelEntry", folder: Path) -> Finding:
    """How the default model runs, or ran last: a fallback is a finding."""
    # Imported here: pydantic stays out of --help.
    from bot.engine.run_mode import Cause
    from bot.models.run_modes import known_mode, run_text

    subject = _("engine")
    known = known_mode(entry, folder, run.past_runs)
    detail = f"{entry.name} {run_text(entry, folder, run.past_runs)}."
    if known is None or not known.mode.fallbacks:
        return Finding(subject, detail)
    fix = _("Choose a model that `fireside models list` shows as batched, with FIRESIDE_MODEL.")
    if known.mode.is_checked_worse:
        fix = _("Update Fireside, or choose another model with FIRESIDE_MODEL.")
    switches = [each.detail for each in known.mode.reasons if each.cause is Cause.SWITCHED_OFF]
    if switches:
        fix = _("Unset {variable}.").format(variable=switches[0])
    return Finding(subject, detail, fix)


def _memory(run: Invocation) -> Finding:
    """Whether the default model fits, by the estimate that a load is admitted by: its weights."""
    entry = run.catalogue.get(run.loaded.settings.model)
    if entry.is_remote:
        return Finding(_("memory"), _("{name} takes none here.").format(name=entry.name))
    here = run.library.installed(entry)
    need, free_bytes = here.size_bytes if here else entry.weight_bytes, available_bytes()
    sizes = {"free": size_text(free_bytes), "name": entry.name, "need": size_text(need)}
    detail = _("{free} are free; {name} needs {need} and room for its work.").format(**sizes)
    if need <= free_bytes // 2:
        return Finding(_("memory"), detail)
    fix = _("Choose a smaller model with FIRESIDE_MODEL, or close other programs.")
    return Finding(_("memory"), detail, fix)


def _other_programs(run: Invocation) -> Iterator[Finding]:
    """The models that other programs have here and the catalogue does not."""
    # Imported here: --help does without the client.
    from bot.cli.found_models import look

    found = look().without(run.catalogue)
    if found.usable:
        yield Finding(_("other models"), found.summary)


def _platforms(run: Invocation) -> Iterator[Finding]:
    settings, modules = run.loaded.settings, dict(adapter_modules())
    if not settings.platforms:
        yield Finding(_("platforms"), _("none is configured; `fireside chat` works without one."))
    for platform in settings.platforms:
        module = import_module(modules[platform])
        if hasattr(module, "examine"):
            examinable = cast("ExaminableModule", module)
            yield from asyncio.run(_ask(examinable, getattr(settings, platform)))


async def _ask(module: ExaminableModule, settings: object) -> Sequence[Finding]:
    return await module.examine(settings)
