"""The settings of everything that is installed: the core's and each adapter's."""

from dataclasses import replace
from importlib import import_module
from typing import Any, Protocol, cast

from pydantic import BaseModel

from bot.models.library import ModelLibrary
from bot.platforms.discovery import adapter_modules
from config.catalogue import BUILTIN, STARTER, Catalogue, ModelEntry
from config.errors import ConfigurationError, UnknownModelName
from config.loading import DEFAULT, Loaded, load
from config.owner_models import catalogue_with
from config.settings import RootSettings, compose
from config.sources import CONFIG_NAME

__all__ = ["Loaded", "RootSettings", "load_settings"]


class SettingsModule(Protocol):
    """What the sub-module `settings` of an adapter exposes."""

    Settings: type[BaseModel]


def load_settings(**overrides: Any) -> Loaded:
    """All settings, checked. Raises `ConfigurationError` for the first thing that is wrong."""
    sections = {
        platform: cast("SettingsModule", import_module(f"{module}.settings")).Settings
        for platform, module in adapter_modules()
    }
    loaded = load(compose(sections), **overrides)
    catalogue = catalogue_with(loaded.settings.models)
    _check_model(loaded, catalogue)
    return _with_starter(loaded, catalogue.get(STARTER))


def lacks_starter(loaded: Loaded) -> bool:
    """Whether the embedded model answers only because the starter is not here."""
    return loaded.origins["model"] == DEFAULT and loaded.settings.model == BUILTIN


def _with_starter(loaded: Loaded, starter: ModelEntry) -> Loaded:
    """The starter answers where it is here and no model was configured."""
    settings = loaded.settings
    library = ModelLibrary(settings.models_dir, settings.hub)
    if not lacks_starter(loaded) or library.installed(starter) is None:
        return loaded
    return replace(loaded, settings=settings.model_copy(update={"model": starter.name}))


def _check_model(loaded: Loaded, catalogue: Catalogue) -> None:
    try:
        catalogue.get(loaded.settings.model)
    except UnknownModelName as error:
        near = f"; did you mean {', '.join(error.near)}?" if error.near else ""
        problem = f"names a model that is not in the catalogue{near}"
        origin = loaded.origins["model"]
        key = f"model in {origin}" if origin.startswith(CONFIG_NAME) else "FIRESIDE_MODEL"
        raise ConfigurationError(key, problem, "fireside") from None
