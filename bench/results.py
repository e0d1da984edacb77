"""The figures of a benchmark in a file of JSON lines: what is there is not measured again."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from bot.engine.machine.cores import processor_name


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: a model, a way (or a scenario), how many conversations, which repeat."""

    model: str
    way: str
    count: int
    repeat: int


class Results:
    """Figures by run. Without a file they are kept in memory alone."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._figures: dict[Run, Mapping[str, float]] = {}
        self._fallbacks: dict[Run, str] = {}
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                row = json.loads(line)
                run = Run(**row["run"])
                self._figures[run] = row["figures"]
                if row.get("fallback"):
                    self._fallbacks[run] = row["fallback"]

    def __contains__(self, run: Run) -> bool:
        return run in self._figures

    def add(self, run: Run, figures: Mapping[str, float], fallback: str | None = None) -> None:
        """Keep the figures of a run, and why it was a fallback of the engine if it was; they are in
        the file when this returns.
        """
        self._figures[run] = figures
        if fallback:
            self._fallbacks[run] = fallback
        if self._file is not None:
            names = ("model", "way", "count", "repeat")
            told = {"fallback": fallback} if fallback else {}
            ran = {name: getattr(run, name) for name in names}
            row = {"run": ran, "figures": figures, **told}
            with self._file.open("a") as opened:
                opened.write(json.dumps(row) + "\n")

    def medians(self, model: str, way: str, count: int) -> Mapping[str, float]:
        """The median of each figure over the repeats; empty where nothing was measured."""
        runs = [
            figures
            for run, figures in self._figures.items()
            if (run.model, run.way, run.count) == (model, way, count)
        ]
        return {name: median(run[name] for run in runs) for name in (runs[0] if runs else ())}

    def fallback(self, model: str, way: str, count: int) -> str | None:
        """Why one of the repeats was a fallback of the engine, if one was."""
        runs = ((run.model, run.way, run.count) for run in self._fallbacks)
        found = zip(runs, self._fallbacks.values(), strict=True)
        return next((reason for key, reason in found if key == (model, way, count)), None)

    def fallbacks(self, model: str) -> Mapping[str, str]:
        """The ways in which a model was measured in a fallback, and why."""
        return {run.way: why for run, why in self._fallbacks.items() if run.model == model}

    def models(self) -> Sequence[str]:
        """The models that were measured, in that order."""
        return list(dict.fromkeys(run.model for run in self._figures))

    def counts(self, model: str) -> Sequence[int]:
        """The numbers of conversations that a model was measured with."""
        return sorted({run.count for run in self._figures if run.model == model and run.count})


def machine() -> str:
    """What was measured on, in a line."""
    memory_gib = psutil.virtual_memory().total / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return (
        f"{processor_name()}, {psutil.cpu_count()} cores, {memory_gib:.0f} GiB; "
        f"Python {platform.python_version()}, {libraries}"
    )
