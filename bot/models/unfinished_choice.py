"""The model that the owner chose to download and does not have yet, kept in the data folder."""

from contextlib import suppress
from pathlib import Path

FILE = "chosen-model"


class UnfinishedChoice:
    """The choice in a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE

    @property
    def model(self) -> str | None:
        """The name of the model; None where nothing is unfinished."""
        with suppress(OSError, ValueError):
            return self._file.read_text("utf-8").strip() or None
        return None

    def note(self, name: str) -> None:
        """Keep a choice until `forget`. Raises `OSError`."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file.write_text(f"{name}\n", "utf-8")

    def forget(self) -> None:
        """The model is here, or another one was chosen."""
        self._file.unlink(missing_ok=True)
