"""What every command needs: the settings, the catalogue, and logging as configured."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import typer

from bot.errors import UsageError
from bot.translations import gettext as _
from bot.translations import language
from config.errors import UnknownModelName

if TYPE_CHECKING:
    from bot.engine.past_runs import PastRuns
    from bot.models.library import ModelLibrary
    from config.catalogue import Catalogue, ModelEntry
    from config.loading import Loaded


@dataclass(frozen=True)
class Invocation:
    """One run of the command line; what is configured is read when it is first asked for."""

    is_debug: bool = False

    @cached_property
    def loaded(self) -> "Loaded":
        """All settings. Raises `ConfigurationError`."""
        # Imported here: pydantic stays out of --help.
        from bot.platforms.configuration import load_settings

        loaded = load_settings()
        language.set(loaded.settings.language)
        return loaded

    @cached_property
    def catalogue(self) -> "Catalogue":
        """The models that can be chosen."""
        # Imported here: see `loaded`.
        from config.owner_models import catalogue_with

        settings = self.loaded.settings
        return catalogue_with(settings.models, settings.models_dir)

    @cached_property
    def library(self) -> "ModelLibrary":
        """The models on this machine."""
        # Imported here: --help and configuration errors do without it.
        from bot.models.library import ModelLibrary

        return ModelLibrary(self.loaded.settings.models_dir, self.loaded.settings.hub)

    @cached_property
    def past_runs(self) -> "PastRuns":
        """How models ran when they were last loaded here."""
        # Imported here: see `library`.
        from bot.engine.past_runs import PastRuns

        settings = self.loaded.settings
        return PastRuns(settings.data_dir, exact=settings.exact)

    def models(self, names: Sequence[str]) -> "list[ModelEntry]":
        """The models of these names and presets, each once. Raises `UsageError`."""
        found = {entry.name: entry for name in names for entry in self._expand(name)}
        return list(found.values())

    def start_log(self, *, is_server: bool) -> None:
        """Log as configured; where people talk only warnings, and in the midst of what a terminal
        draws only errors, unless a level was chosen: who asked is told of the rest."""
        # Imported here: see `loaded`.
        from config.loading import DEFAULT
        from config.logging import configure

        settings, origins = self.loaded.settings, self.loaded.origins
        level = settings.log_level
        if not is_server and origins["log_level"] == DEFAULT:
            level = "ERROR" if sys.stdout.isatty() and sys.stderr.isatty() else "WARNING"
        configure(
            "DEBUG" if self.is_debug else level,
            is_json=settings.log_format == "json",
            secrets=self.loaded.secrets(),
        )

    def _expand(self, name: str) -> "Sequence[ModelEntry]":
        try:
            return self.catalogue.expand(name)
        except UnknownModelName as error:
            near = _("Did you mean {names}?").format(names=", ".join(error.near))
            hint = near if error.near else _("`fireside models list` shows all.")
            text = _("There is no model {name} in the catalogue. {hint}")
            raise UsageError(text.format(name=_printable(name), hint=hint)) from None


def invocation(context: typer.Context) -> Invocation:
    """What the root command made of the options before the command's name."""
    found = context.find_object(Invocation)
    assert found is not None
    return found


def _printable(text: str, limit: int = 60) -> str:
    return "".join(character for character in text if character.isprintable())[:limit]
