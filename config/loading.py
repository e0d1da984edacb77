"""Loading the settings: all sources merged, each value with where it came from.

Order, the first one wins: command line, environment, `.env`, files with secrets, `fireside.toml`,
defaults.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from pydantic import BaseModel, SecretStr, ValidationError

from config.errors import ConfigurationError
from config.leaves import Leaf, as_text, leaves, section_of
from config.owner_models import OwnerModel
from config.problems import problem_of
from config.settings import RootSettings
from config.sources import (
    Source,
    config_file,
    dotenv,
    environment,
    secret_files,
    with_api_keys,
)

COMMAND_LINE = "command line"
DEFAULT = "default"

PLATFORMS = "platforms"


@dataclass(frozen=True, slots=True)
class SettingValue:
    """One setting as `fireside config` shows it; secrets are masked in `text`."""

    leaf: Leaf
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each value came from, by its key in fireside.toml ("hub.token")."""

    settings: RootSettings
    origins: Mapping[str, str]

    def values(self) -> Iterator[SettingValue]:
        """Every setting in the order of the model."""
        for leaf in leaves(type(self.settings)):
            text = as_text(leaf.value(self.settings))
            yield SettingValue(leaf, text, self.origins[leaf.key])

    def secrets(self) -> tuple[str, ...]:
        """The secrets themselves, for the log to mask."""
        found = [leaf.value(self.settings) for leaf in leaves(type(self.settings))]
        found += [model.api_key for model in self.settings.models.values()]
        return tuple(
            value.get_secret_value()
            for value in found
            if isinstance(value, SecretStr) and value.get_secret_value()
        )


def load(root: type[RootSettings], **overrides: Any) -> Loaded:
    """Read every source and validate what they give together.

    `overrides` are the command line's, by path ("hub.offline" as `hub={"offline": True}`); None
    means not given. Raises `ConfigurationError` for the first thing that is wrong.
    """
    known = [*leaves(root)]
    sources = _sources(root, known, overrides)
    values: dict[str, Any] = {}
    origins = {leaf.key: DEFAULT for leaf in known}
    for source in reversed(sources):
        for path, value in source.values.items():
            _put(values, path, value)
            origins[".".join(path)] = source.origin
    try:
        settings = root(**values)
    except ValidationError as error:
        raise _translated(error, known, sources) from None
    settings = settings.model_copy(update={"models": with_api_keys(settings.models)})
    return Loaded(_with_platforms(settings, root, sources), origins)


def _sources(
    root: type[RootSettings], known: Sequence[Leaf], overrides: Mapping[str, Any]
) -> list[Source]:
    """The first one wins."""
    file = config_file(root)
    return [
        Source(COMMAND_LINE, dict(_flat(overrides))),
        environment(root, known),
        dotenv(root, known),
        *secret_files(known),
        *([file] if file else []),
    ]


def _flat(
    tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), (*path, name))
        elif value is not None:
            yield (*path, name), value


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _translated(
    error: ValidationError, known: Sequence[Leaf], sources: Sequence[Source]
) -> ConfigurationError:
    """The first wrong value, named as its owner wrote it."""
    errors = error.errors(include_url=False, include_input=False)
    first = next((one for one in errors if one["type"] != "default_factory_not_called"), errors[0])
    place = tuple(str(part) for part in first["loc"])
    leaf = next((one for one in known if place[: len(one.path)] == one.path), None)
    if leaf is None:
        return ConfigurationError(".".join(place), problem_of(first))
    source = next((one for one in sources if leaf.path in one.values), None)
    if leaf.is_only_in_file:
        return _wrong_model(place, problem_of(first), source)
    key = source.name(leaf) if source else leaf.variable
    example = leaf.example_in_file if source and source.is_toml else leaf.example_line
    return ConfigurationError(key, problem_of(first), example)


def _wrong_model(place: tuple[str, ...], problem: str, source: Source | None) -> ConfigurationError:
    """What is wrong with an owner's model: its table's key, and an example for it."""
    key = ".".join(place) + (f" in {source.file}" if source else "")
    field_name = next(iter(place[2:]), None)
    field = OwnerModel.model_fields.get(field_name) if field_name else None
    if field is None and field_name:
        near = get_close_matches(field_name, OwnerModel.model_fields, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        return ConfigurationError(key, f"there is no such key{hint}")
    example = (
        f"{field_name} = {json.dumps(field.examples[0])}" if field and field.examples else None
    )
    return ConfigurationError(key, problem, example)


def _with_platforms(
    settings: RootSettings, root: type[RootSettings], sources: Sequence[Source]
) -> RootSettings:
    """Check the named platforms; where none is named, serve those that a secret is set for."""
    sections = {
        name: section
        for name, field in root.model_fields.items()
        if name not in RootSettings.model_fields and (section := section_of(field))
    }
    if PLATFORMS in settings.model_fields_set:
        for platform in settings.platforms:
            if platform not in sections:
                raise _unknown_platform(platform, sections, sources)
        return settings
    configured = tuple(
        name for name, section in sections.items() if _has_secret(settings, name, section)
    )
    return settings.model_copy(update={PLATFORMS: configured})


def _has_secret(settings: RootSettings, name: str, section: type[BaseModel]) -> bool:
    values = (leaf.value(getattr(settings, name)) for leaf in leaves(section))
    return any(isinstance(value, SecretStr) and value.get_secret_value() for value in values)


def _unknown_platform(
    platform: str, sections: Mapping[str, object], sources: Sequence[Source]
) -> ConfigurationError:
    path = (PLATFORMS,)
    source = next((one for one in sources if path in one.values), None)
    leaf = Leaf(path, RootSettings.model_fields[PLATFORMS])
    key = source.name(leaf) if source else leaf.variable
    near = get_close_matches(platform, [*sections], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(sections)}"
    return ConfigurationError(key, f"names a platform that is not there{hint}")
