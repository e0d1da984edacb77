"""Where values come from: the environment, `.env`, files with secrets, `fireside.toml`.

Each source gives raw values by leaf. Unknown names are refused here: pydantic-settings passes
over environment names that it does not know, so that a slip would be silently without effect.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, cast

from dotenv.parser import parse_stream
from platformdirs import user_config_path
from pydantic import BaseModel, SecretStr
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from config.errors import ConfigurationError
from config.leaves import Leaf, section_of
from config.owner_models import OwnerModel
from config.settings import PREFIX, RootSettings

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
SECRETS_VARIABLE = f"{PREFIX}SECRETS_DIR"
FILE_SUFFIX = "_FILE"

DOTENV = Path(".env")
CONFIG_NAME = "fireside.toml"
SECRETS_DIR = Path("/run/secrets")

SERVICE_LINK = re.compile(
    r"FIRESIDE_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes and linked containers set beside a service that is called "fireside"."""

Values = Mapping[tuple[str, ...], object]


@dataclass(frozen=True, slots=True)
class Source:
    """The raw values that one place gives, by path; `origin` says where they are from."""

    origin: str
    values: Values
    file: Path | None = None
    is_toml: bool = False

    def name(self, leaf: Leaf) -> str:
        """A leaf as the owner wrote it there."""
        name = leaf.key if self.is_toml else leaf.variable
        return f"{name} in {self.file}" if self.file else name


def environment(root: type[RootSettings], leaves: Sequence[Leaf]) -> Source:
    """The environment's values. Raises `ConfigurationError` for an unknown name in it."""
    _check_variables(os.environ, leaves, "")
    tree = EnvSettingsSource(root)()
    return Source("environment", _by_leaf(tree, leaves))


def dotenv(root: type[RootSettings], leaves: Sequence[Leaf]) -> Source:
    """The values of `.env` in the working directory; keys of others in it are left alone."""
    _check_variables(dotenv_variables(), leaves, f" in {DOTENV}")
    encoding = "utf-8-sig"
    source = DotEnvSettingsSource(
        root, env_file=DOTENV, env_file_encoding=encoding, dotenv_filtering="only_existing"
    )
    return Source(str(DOTENV), _by_leaf(source(), leaves), DOTENV)


def dotenv_variables() -> dict[str, str]:
    """What `.env` sets, as written. Raises `ConfigurationError` where it cannot be read."""
    if not DOTENV.is_file():
        return {}
    variables: dict[str, str] = {}
    for binding in parse_stream(StringIO(_text(DOTENV))):
        if binding.error:
            key = f"line {binding.original.line} in {DOTENV}"
            raise ConfigurationError(key, "is not NAME=value", "FIRESIDE_MODEL=smollm2-360m")
        if binding.key and binding.value:
            variables[binding.key] = binding.value
    return variables


def variables() -> dict[str, str]:
    """What the environment and `.env` set, the environment first; also names of other programs.
    Raises `ConfigurationError` where `.env` cannot be read."""
    return {**dotenv_variables(), **{name: value for name, value in os.environ.items() if value}}


def secret_files(leaves: Sequence[Leaf]) -> list[Source]:
    """Secrets from files: `FIRESIDE_…_FILE` names one, else one in the directory of secrets."""
    given = {name.upper(): value for name, value in dotenv_variables().items()}
    given |= {name.upper(): value for name, value in os.environ.items() if value}
    folder = Path(given.get(SECRETS_VARIABLE, SECRETS_DIR))
    found: list[Source] = []
    for leaf in (leaf for leaf in leaves if leaf.is_secret):
        named = given.get(leaf.variable + FILE_SUFFIX)
        for name, file in _candidates(leaf, named, folder):
            if named or file.is_file():
                text = _text(file, name).strip()
                values = {leaf.path: text} if text else {}
                found.append(Source(f"file {file}", values, file))
                break
    return found


def with_api_keys(models: Mapping[str, OwnerModel]) -> dict[str, OwnerModel]:
    """The owner's models, each with the key that its `api_key_variable` stands for.

    Raises `ConfigurationError` where that variable is not set, or is one of Fireside's own.
    """
    return {name: _with_api_key(name, model) for name, model in models.items()}


def _with_api_key(name: str, model: OwnerModel) -> OwnerModel:
    variable = model.api_key_variable
    if variable is None:
        return model
    key = f"models.{name}.api_key_variable"
    if variable.startswith(PREFIX):
        problem = "must not begin with FIRESIDE_: those are Fireside's own settings"
        raise ConfigurationError(key, problem, 'api_key_variable = "VLLM_API_KEY"')
    given = variables()
    file = given.get(variable + FILE_SUFFIX)
    found = given.get(variable) or (
        _text(Path(file).expanduser(), variable + FILE_SUFFIX).strip() if file else None
    )
    if not found:
        problem = f"names a variable that is not set: {variable}"
        raise ConfigurationError(key, problem, f"{variable}=sk-...")
    return model.model_copy(update={"api_key": SecretStr(found)})


def config_file(root: type[RootSettings]) -> Source | None:
    """The values of fireside.toml: FIRESIDE_CONFIG's, the working directory's, or the user's.

    Raises `ConfigurationError` for a file that cannot be read and for an unknown key in it.
    """
    file = config_path()
    if file is None:
        return None
    try:
        tree = tomllib.loads(_text(file))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            str(file), f"is not valid TOML{_position(error)}", 'model = "smollm2-360m"'
        ) from None
    values = dict(_walk(root, tree, (), file))
    return Source(f"{CONFIG_NAME} ({file})", values, file, is_toml=True)


def config_path() -> Path | None:
    """The fireside.toml that counts, None where there is none. Raises `ConfigurationError` where
    FIRESIDE_CONFIG names a file that does not exist."""
    named = os.environ.get(CONFIG_VARIABLE) or dotenv_variables().get(CONFIG_VARIABLE)
    if named:
        file = Path(named).expanduser()
        if not file.is_file():
            raise ConfigurationError(
                CONFIG_VARIABLE, "names a file that does not exist", "/etc/fireside.toml"
            )
        return file
    candidates = (Path(CONFIG_NAME), user_config_path("fireside", appauthor=False) / CONFIG_NAME)
    return next((file for file in candidates if file.exists()), None)


def _walk(
    model: type[BaseModel], tree: Mapping[str, Any], path: tuple[str, ...], file: Path
) -> Iterable[tuple[tuple[str, ...], object]]:
    """Every leaf's value in a table, unknown keys refused."""
    for key, value in tree.items():
        field = model.model_fields.get(key)
        written = ".".join((*path, key))
        if field is None:
            known = [".".join((*path, name)) for name in model.model_fields]
            raise _unknown(f"{written} in {file}", written, known, "key")
        section = section_of(field)
        if section is None:
            yield (*path, key), value
        elif isinstance(value, dict):
            yield from _walk(section, cast("dict[str, Any]", value), (*path, key), file)
        else:
            raise ConfigurationError(f"{written} in {file}", "must be a table", f"[{written}]")


def _check_variables(names: Iterable[str], leaves: Sequence[Leaf], place: str) -> None:
    in_environment = [leaf for leaf in leaves if not leaf.is_only_in_file]
    known = {leaf.variable for leaf in in_environment} | {CONFIG_VARIABLE, SECRETS_VARIABLE}
    files = {leaf.variable + FILE_SUFFIX for leaf in in_environment if leaf.is_secret}
    for name in names:
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known | files or SERVICE_LINK.fullmatch(upper):
            continue
        raise _unknown(f"{name}{place}", upper, sorted(known), "setting")


def _unknown(key: str, written: str, known: Sequence[str], kind: str) -> ConfigurationError:
    near = get_close_matches(written, known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else "; `fireside config` lists all"
    return ConfigurationError(key, f"there is no such {kind}{hint}")


def _by_leaf(tree: Mapping[str, Any], leaves: Sequence[Leaf]) -> Values:
    values: dict[tuple[str, ...], object] = {}
    for leaf in leaves:
        node: Any = tree
        for name in leaf.path:
            node = cast("Mapping[str, Any]", node).get(name) if isinstance(node, Mapping) else None
        if node is not None:
            values[leaf.path] = node
    return values


def _candidates(leaf: Leaf, named: str | None, folder: Path) -> Sequence[tuple[str, Path]]:
    if named:
        return [(leaf.variable + FILE_SUFFIX, Path(named).expanduser())]
    names = (leaf.variable, leaf.variable.lower())
    return [(f"{leaf.variable} in {folder}", folder / name) for name in names]


def _text(file: Path, key: str | None = None) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        problem = f"the file cannot be read ({error.strerror})"
        raise ConfigurationError(key or str(file), problem) from None
    except UnicodeDecodeError:
        raise ConfigurationError(key or str(file), "the file is not UTF-8 text") from None


def _position(error: tomllib.TOMLDecodeError) -> str:
    """Where it is wrong; the rest of the message could quote the file."""
    found = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
    return f", {found[1]}" if found else ""
