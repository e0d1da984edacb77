"""The settings of everything that is installed: the core's and each adapter's.

Adapters are found by name: the modules of the package `adapters`, and entry points of the group
`fireside.adapters`. Importing one imports no SDK.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Protocol, cast

from pydantic import BaseModel

from config.catalogue import Catalogue, UnknownModelName
from config.errors import ConfigurationError
from config.loading import Loaded, load
from config.settings import RootSettings, compose
from config.sources import CONFIG_NAME

__all__ = ["Loaded", "RootSettings", "adapter_modules", "load_settings"]

ADAPTERS = "adapters"
ENTRY_POINTS = "fireside.adapters"


class ConfigurableModule(Protocol):
    """What an adapter's module shows of its settings."""

    Settings: type[BaseModel]


def adapter_modules() -> Iterator[tuple[str, str]]:
    """Every adapter's platform and the name of its module, ours first."""
    package = find_spec(ADAPTERS)
    ours: list[str] = []
    if package is not None and package.submodule_search_locations:
        ours = [module.name for module in pkgutil.iter_modules(package.submodule_search_locations)]
        yield from ((name, f"{ADAPTERS}.{name}") for name in sorted(ours))
    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in ours:
            yield point.name, point.module


def load_settings(**overrides: Any) -> Loaded:
    """All settings, checked. Raises `ConfigurationError` for the first thing that is wrong."""
    sections = {
        platform: cast("ConfigurableModule", import_module(module)).Settings
        for platform, module in adapter_modules()
    }
    loaded = load(compose(sections), **overrides)
    _check_model(loaded)
    return loaded


def _check_model(loaded: Loaded) -> None:
    catalogue = Catalogue.load(loaded.settings.models)
    try:
        catalogue.get(loaded.settings.model)
    except UnknownModelName as error:
        near = f"; did you mean {', '.join(error.near)}?" if error.near else ""
        problem = f"names a model that is not in the catalogue{near}"
        origin = loaded.origins["model"]
        key = f"model in {origin}" if origin.startswith(CONFIG_NAME) else "FIRESIDE_MODEL"
        raise ConfigurationError(key, problem, "fireside") from None
