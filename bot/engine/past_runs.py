"""How each model ran when it was last loaded on this machine, kept in a folder.

A small file a model. What it says counts for as long as nothing has changed that decides it: the
model's files, the processor and its cores, the engine's own source, the versions of what it calls,
and what the owner configured. For so long a model is not tried out again when it is loaded.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from bot.engine.machine.cores import processor_name
from bot.engine.machine.kernel_switch import KERNEL_SWITCH
from bot.engine.run_mode import Cause, Reason, RunMode
from config.catalogue import ModelEntry

log = logging.getLogger(__name__)

FOLDER = "past-runs"
"""Where in the data folder they are kept."""

DECIDING = frozenset({".safetensors", ".gguf", ".bin", ".json"})
"""The suffixes of a model's files that decide how it runs."""

PACKAGES = ("fireside", "torch", "transformers", "numba", "gguf")
ENGINE = Path(__file__).parent
SWITCHES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", KERNEL_SWITCH)
"""Variables that make a processor another one, or leave out what was made for it."""


class PastRuns:
    """The past runs in a data folder. With `exact` only those of exact engines count."""

    def __init__(self, data_dir: Path, *, exact: bool = False) -> None:
        self._folder = data_dir / FOLDER
        self._exact = exact

    def note(self, entry: ModelEntry, folder: Path, mode: RunMode) -> None:
        """Keep how a model runs. A disk that refuses is only logged: the model runs anyway."""
        content = {"circumstances": self._circumstances(entry, folder), "mode": asdict(mode)}
        file = self._file(entry)
        unfinished = file.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
            unfinished.replace(file)
        except OSError as error:
            log.warning("how %s runs could not be kept: %s", entry.name, error.strerror)

    def of(self, entry: ModelEntry, folder: Path) -> RunMode | None:
        """How a model ran; None where it did not, or under other circumstances."""
        try:
            content = json.loads(self._file(entry).read_text(encoding="utf-8"))
            if content["circumstances"] != self._circumstances(entry, folder):
                return None
            return _mode(content["mode"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _file(self, entry: ModelEntry) -> Path:
        return self._folder / f"{entry.name}.json"

    def _circumstances(self, entry: ModelEntry, folder: Path) -> Mapping[str, object]:
        """As JSON gives it back: lists instead of tuples."""
        return {
            "files": _files(folder),
            "bits": entry.weight_bits,
            "exact": self._exact,
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "source": _source_digest(),
            "switches": [os.environ.get(name) for name in SWITCHES],
            "versions": [_version(name) for name in PACKAGES],
        }


@cache
def _source_digest() -> str:
    """Changes with any of the engine's modules."""
    digest = sha256()
    for file in sorted(ENGINE.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _files(place: Path) -> list[list[object]]:
    """Name, size and time of change of the files that decide how a model runs."""
    found: list[list[object]] = []
    for file in [place] if place.is_file() else sorted(place.iterdir()):
        if file.suffix in DECIDING or file == place:
            status = file.stat()
            found.append([file.name, status.st_size, status.st_mtime_ns])
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _mode(kept: dict[str, Any]) -> RunMode:
    reasons = cast("list[dict[str, str]]", kept.pop("reasons"))
    told = tuple(Reason(Cause(reason["cause"]), reason["detail"]) for reason in reasons)
    return RunMode(**kept, reasons=told)
