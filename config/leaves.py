"""The leaves of a settings model: every single value, by path and by its name in each source."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from config.settings import DELIMITER, ONLY_IN_FILE, PREFIX

MASK = "********"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: `path` is its key in fireside.toml, in parts."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def key(self) -> str:
        """Its key in fireside.toml."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + DELIMITER.join(self.path).upper()

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown; such a value can come from a file."""
        return SecretStr in _types(self.field.annotation)

    @property
    def is_only_in_file(self) -> bool:
        """Whether fireside.toml alone can set it."""
        return self.field.json_schema_extra == ONLY_IN_FILE

    @property
    def example(self) -> object:
        """A value that works."""
        return self.field.examples[0] if self.field.examples else self.field.default

    @property
    def example_line(self) -> str:
        """How to set it in the environment, or in fireside.toml where only that can."""
        if self.is_only_in_file:
            return f"[{self.key}.NAME]"
        return f"{self.variable}={as_text(self.example)}"

    @property
    def example_in_file(self) -> str:
        """How to set it in fireside.toml."""
        if self.is_only_in_file:
            return f"[{self.key}.NAME]"
        *tables, name = self.path
        table = f"[{'.'.join(tables)}] " if tables else ""
        return f"{table}{name} = {json.dumps(self.example)}"

    def value(self, settings: BaseModel) -> object:
        """What it is in a settings object."""
        value: object = settings
        for name in self.path:
            value = getattr(value, name)
        return value


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Every leaf of a settings model, in the order of its fields."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield Leaf((*path, name), field)
        else:
            yield from leaves(section, (*path, name))


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that holds further fields."""
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def as_text(value: object) -> str:
    """A value as one line of text, secrets masked."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case Enum():
            return str(value.value)
        case Path():
            return str(value)
        case tuple() | list():
            return ",".join(as_text(item) for item in cast("list[object]", value))
        case dict():
            return ",".join(str(key) for key in cast("dict[object, object]", value))
        case _:
            return str(value)


def _types(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(found for one in get_args(annotation) for found in _types(one))
    return (annotation,)
