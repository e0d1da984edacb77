"""What the project asks for, read from pyproject.toml with the standard library alone."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class SetupError(Exception):
    """A failure told to the user in one line: what happened, and what to do."""


def requirement_name(line: str) -> str:
    """The normalized project name (PEP 503) of a requirement line."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
    if match is None:
        raise SetupError(f"pyproject.toml holds a requirement that cannot be read: {line!r}")
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def requirements(root: Path, *, extras: Sequence[str] = ()) -> tuple[str, ...]:
    """The project's requirement lines, those of the named extras, and the build back end's."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    project = pyproject["project"]
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return (*project["dependencies"], *optional, *pyproject["build-system"]["requires"])
