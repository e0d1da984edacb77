"""Writing into `fireside.toml`: comments and everything else in it stay."""

from collections.abc import Mapping
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from bot.errors import UsageError
from bot.translations import gettext as _
from config.sources import CONFIG_NAME, config_path

Table = Mapping[str, str | list[str]]


def write_model(name: str, table: Table | None = None) -> Path:
    """Make a model the default one; with `table` it is added as `[models.NAME]`. Returns the file:
    the one that counts, else a new one in the working directory.

    Raises `UsageError` where it is not valid TOML; then nothing was written.
    """
    file = config_path() or Path(CONFIG_NAME)
    try:
        document = tomlkit.parse(file.read_text("utf-8") if file.exists() else "")
        if table is not None:
            models = document.setdefault("models", tomlkit.table(is_super_table=True))
            models[name] = dict(table)
        document["model"] = name
    except TOMLKitError as error:
        text = _("{file} is not valid TOML, so nothing was written to it. Correct it first.")
        raise UsageError(text.format(file=file)) from error
    file.write_text(tomlkit.dumps(document), "utf-8")
    return file
