"""The models that other programs on this machine run or keep, and taking one of them for Fireside.

Looking changes nothing; what is taken is written to fireside.toml.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import assert_never

from bot.cli.invocation import Invocation
from bot.cli.settings_file import Table, write_model
from bot.engine.failures import size_text
from bot.engine.remote.local_servers import OLLAMA, ServedHere, served_here
from bot.models.gguf_stores import StoredModel, stored_models
from bot.translations import gettext as _
from config.catalogue import Catalogue, ModelEntry
from config.owner_models import OwnerModel, catalogue_with
from config.sources import variables

FoundModel = ServedHere | StoredModel

MAX_NAMES = 5

MAX_NAME_CHARS = 40
"""What a name here is cut to, so that there is room for its owner's."""


@dataclass(frozen=True, slots=True)
class FoundModels:
    """What other programs serve, the files that can be used, and those that cannot."""

    served: tuple[ServedHere, ...] = ()
    files: tuple[StoredModel, ...] = ()
    unusable: tuple[StoredModel, ...] = ()

    @property
    def usable(self) -> tuple[FoundModel, ...]:
        """Those that can be taken, the running ones first."""
        return *self.served, *self.files

    @property
    def summary(self) -> str:
        """Who has which of them, and how to use one; on one line."""
        names: dict[str, list[str]] = {}
        for one in self.usable:
            names.setdefault(owner_of(one), []).append(title(one))
        listed = "; ".join(f"{owner}: {_some(some)}" for owner, some in names.items())
        return _("{listed}. To use one of them: fireside init").format(listed=listed)

    def without(self, catalogue: Catalogue) -> "FoundModels":
        """Those that the catalogue does not have yet."""
        return replace(
            self,
            served=tuple(one for one in self.served if entry_of(catalogue, one) is None),
            files=tuple(one for one in self.files if entry_of(catalogue, one) is None),
        )

    def within(self, budget_bytes: int) -> "FoundModels":
        """The same, with files whose weights need more memory among those that cannot be used."""
        large = [one for one in self.files if one.weight_bytes > budget_bytes]
        problem = _("it needs {need} of memory, and {budget} is free for models")
        too_large = [
            replace(one, problem=problem.format(
                need=size_text(one.weight_bytes), budget=size_text(budget_bytes)
            ))
            for one in large
        ]  # fmt: skip
        files = tuple(one for one in self.files if one not in large)
        return FoundModels(self.served, files, (*self.unusable, *too_large))


def look() -> FoundModels:
    """Ask the servers on loopback and read the stores. What Ollama serves is not named a second
    time as a file."""
    served = asyncio.run(served_here())
    names = {one.name for one in served if one.server == OLLAMA}
    stored = [
        one
        for one in stored_models(variables(), Path.home())
        if one.owner != OLLAMA or one.name not in names
    ]
    return FoundModels(
        tuple(served),
        tuple(one for one in stored if one.problem is None),
        tuple(one for one in stored if one.problem is not None),
    )


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many there are besides."""
    rest = len(names) - MAX_NAMES
    shown = ", ".join(names[:MAX_NAMES])
    return _("{names} and {number} more").format(names=shown, number=rest) if rest > 0 else shown


def title(found: FoundModel) -> str:
    """What it is called where it was found."""
    return found.short_name if isinstance(found, ServedHere) else found.name


def owner_of(found: FoundModel) -> str:
    """The program that serves or keeps it."""
    return found.server if isinstance(found, ServedHere) else found.owner


def entry_of(catalogue: Catalogue, found: FoundModel) -> ModelEntry | None:
    """The entry that the catalogue has of it already."""
    return next((entry for entry in catalogue if _is(entry, found)), None)


def take(run: Invocation, found: FoundModel) -> tuple[str, Path]:
    """Make it the default model, adding it to the catalogue if it is not there. Returns its name
    here and the file that says so. Raises `UsageError` or `ConfigurationError`."""
    entry = entry_of(run.catalogue, found)
    if entry is not None:
        return entry.name, write_model(entry.name)
    name, table = _free_name(run.catalogue, found), _table(found)
    # Nothing is written that could not be read again.
    owners = {**run.loaded.settings.models, name: OwnerModel.model_validate(table)}
    catalogue_with(owners, run.loaded.settings.models_dir)
    return name, write_model(name, table)


def _is(entry: ModelEntry, found: FoundModel) -> bool:
    match found:
        case ServedHere(url=url, name=name):
            here = (entry.remote_model or entry.name).removesuffix(":latest")
            return url in entry.endpoints and here == name.removesuffix(":latest")
        case StoredModel(file=file):
            return entry.folder == file
        case _:
            assert_never(found)


def _table(found: FoundModel) -> Table:
    match found:
        case ServedHere(url=url, name=name):
            place = {"engine": "openai", "endpoints": [url], "remote_model": name}
            return {**place, "title": found.short_name}
        case StoredModel(file=file):
            return {"folder": str(file), "title": found.name}
        case _:
            assert_never(found)


def _free_name(catalogue: Catalogue, found: FoundModel) -> str:
    """A name for the catalogue, as near to its own as the rules allow, that nothing has yet: with
    its owner where the name alone is taken, and with a number behind."""
    taken = {*catalogue.entries, *catalogue.presets}
    name, owner = _as_name(title(found).removesuffix(":latest")), _as_name(owner_of(found))
    numbered = (f"{name}-{owner}-{number}" for number in count(2))
    return next(one for one in chain((name, f"{name}-{owner}"), numbered) if one not in taken)


def _as_name(text: str) -> str:
    words = re.sub(r"[^a-z0-9._-]+", "-", text.lower())
    return words.lstrip("._-")[:MAX_NAME_CHARS].rstrip("._-") or "model"
