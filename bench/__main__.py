"""`python -m bench` and `fireside bench`: the engine beside other ways to answer, side by side.

Every measurement runs in a process of its own, the ways in turn, several times; medians are shown,
and the ratios are what counts: machines are noisy. With `--results FILE` what was measured is kept
there, and a run that was interrupted goes on where it stopped.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.checkpoints import decode_bytes, make, names
from bench.report import fallback_lines, markdown, plot, scenario_lines, table
from bench.results import Results, Run, machine
from bench.ways.arguments import (
    ADVICE,
    ALLOW_FALLBACK,
    FALLBACK,
    FALLBACK_CODE,
    allows_fallback,
)
from bot.engine.checkpoint.files import gguf_in
from bot.errors import BrokenModel, ModelNotInstalled
from config.catalogue import BUILTIN, Family
from config.owner_models import catalogue_with

ROOT = Path(__file__).parent.parent
SCENARIOS = ("growing", "crowd", "residency")
ENOUGH = frozenset({"generate", "engine"})
TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Way:
    """A way to answer: its program, the option for it, and where it does not apply."""

    module: str
    option: str
    environment: str | None = None
    is_causal_only: bool = False
    is_t5_only: bool = False
    reads_gguf: bool = True

    @property
    def python(self) -> Path:
        """The interpreter that has what it needs."""
        return ROOT / self.environment / "bin" / "python" if self.environment else _OWN_PYTHON

    def fits(self, family: Family, *, is_gguf: bool = False) -> bool:
        """Whether it is installed, and knows the model's family and reads its file."""
        if is_gguf and not self.reads_gguf:
            return False
        if not self.python.exists() or (self.is_t5_only and family is not Family.FLAN_T5):
            return False
        return family is Family.CHAT or not self.is_causal_only


_OWN_PYTHON = Path(sys.executable)

WAYS: Mapping[str, Way] = {
    "generate": Way("generate", "fp32"),
    "generate bf16": Way("generate", "bf16"),
    "threads": Way("generate", "threads"),
    "continuous": Way("continuous", "bfloat16", is_causal_only=True),
    "engine": Way("engine", "default"),
    "engine guessing": Way("engine", "guessing"),
    "engine exact": Way("engine", "exact"),
    "engine 8 bits": Way("engine", "8 bits"),
    "engine 4 bits": Way("engine", "4 bits"),
    "vllm": Way("vllm", "eager", ".venv-remote", is_causal_only=True, reads_gguf=False),
    "ctranslate2": Way("ctranslate2", "streams", ".venv-bench-ctranslate2", is_t5_only=True),
    "ctranslate2 threads": Way(
        "ctranslate2", "threads", ".venv-bench-ctranslate2", is_t5_only=True
    ),
}


class Refused(Exception):  # noqa: N818 - named after what happened
    """A measurement that could not be made; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print tables. Returns the exit code."""
    given = _parser().parse_args(arguments)
    console = Console()
    # The ways' own programs read it.
    os.environ["BENCH_STAGGER_S"] = str(given.stagger)
    os.environ[ALLOW_FALLBACK] = "1" if given.allow_fallback else "0"
    results = Results(given.results)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder = _checkpoint(given.model, given.weights or Path(scratch))
            for run in _planned(given, folder):
                _measure(run, folder, results, console)
        except (Refused, BrokenModel) as error:
            console.print(str(error), markup=False, soft_wrap=True)
            return 1
        console.print(machine())
        console.print(table(results, given.model, [*WAYS]))
        for line in scenario_lines(results, given.model, SCENARIOS):
            console.print(line)
        for line in fallback_lines(results, given.model):
            console.print(line, markup=False, soft_wrap=True)
        _print_share(results, given.model, folder, console)
    if given.markdown:
        console.print(markdown(results, given.model, [*WAYS]), markup=False, soft_wrap=True)
    if given.plot is not None:
        plot(results, [*WAYS], given.plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fireside bench", description="Measure the engine beside other ways to answer."
    )
    parser.add_argument(
        "--model", default=BUILTIN, help=f"an installed one, or of: {', '.join(names())}"
    )
    parser.add_argument("--n", type=_counts, default=[1, 4], help="numbers of conversations: 1,4,8")
    parser.add_argument(
        "--ways",
        type=_ways,
        default=ENOUGH,
        help=f"`all`, or with commas between: {', '.join(WAYS)}",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way")
    parser.add_argument(
        "--stagger", type=float, default=0.01, help="seconds between two arrivals, 0.01 if not said"
    )
    parser.add_argument("--scenarios", action="store_true", help="growing chats, crowds, loading")
    parser.add_argument(
        "--allow-fallback",
        action="store_true",
        help="measure the engine although it runs the model slower than it should, and say so",
    )
    parser.add_argument("--results", type=Path, help="keep what was measured in this file")
    parser.add_argument("--weights", type=Path, help="keep random weights in this folder")
    parser.add_argument("--markdown", action="store_true", help="print a table for a document")
    parser.add_argument("--plot", type=Path, help="draw all throughputs into this PNG file")
    return parser


def _counts(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdecimal() and 0 < int(number) <= 256 for number in numbers):
        raise argparse.ArgumentTypeError("must be numbers from 1 to 256 with commas between")
    return [int(number) for number in numbers]


def _ways(text: str) -> frozenset[str]:
    wanted = frozenset(WAYS) if text == "all" else frozenset(text.split(","))
    if not wanted <= set(WAYS):
        raise argparse.ArgumentTypeError(f"must be of: {', '.join(WAYS)}")
    return wanted


def _checkpoint(name: str, scratch: Path) -> Path:
    """An installed model's folder, or random weights at a known model's dimensions."""
    # Imported here: an installed model is looked for only when its name is known.
    from bot.models.library import ModelLibrary
    from bot.platforms.configuration import load_settings

    settings = load_settings().settings
    entry = catalogue_with(settings.models).entries.get(name)
    library = ModelLibrary(settings.models_dir, settings.hub)
    if entry is not None and name != BUILTIN:
        with suppress(ModelNotInstalled):
            return library.check(entry)
    if name not in names():
        raise Refused(f"{name} is not installed. Measured without weights: {', '.join(names())}")
    return make(name, scratch)


def _planned(given: argparse.Namespace, folder: Path) -> Iterator[Run]:
    """What is to be measured; the ways take turns, so that noise hits all of them."""
    # Imported here: reading a folder's architecture is not needed for `--help`.
    from bench.checkpoints import entry_for

    family, is_gguf = entry_for(given.model, folder).family, gguf_in(folder) is not None
    yield Run(given.model, "bandwidth", 0, 0)
    for count in given.n:
        for repeat in range(given.repeats):
            for name, way in WAYS.items():
                if name in given.ways and way.fits(family, is_gguf=is_gguf):
                    yield Run(given.model, name, count, repeat)
    if given.scenarios:
        for repeat in range(given.repeats):
            for name in SCENARIOS:
                yield Run(given.model, name, 0, repeat)


def _measure(run: Run, folder: Path, results: Results, console: Console) -> None:
    why = results.fallback(run.model, run.way, run.count)
    if run in results and why is not None and not allows_fallback():
        raise _refusal(run, why)
    if run in results:
        return
    words = f"{run.model}, {run.way}" + (f", {run.count} at once" if run.count else "")
    with console.status(words):
        found = output(run, folder)
    if run.way == "bandwidth":
        results.add(run, {"bytes_per_s": float(found.line)})
    else:
        results.add(run, json.loads(found.line), found.fallback)


def _refusal(run: Run, why: str) -> Refused:
    return Refused(f"{run.way} could not be measured: {why}. {ADVICE}")


@dataclass(frozen=True, slots=True)
class Output:
    """The last line that a run's program prints, and why it measured a fallback if it did."""

    line: str
    fallback: str | None = None


def output(run: Run, folder: Path) -> Output:
    """Run a measurement's program. Raises `Refused`."""
    python = _OWN_PYTHON
    if run.way == "bandwidth":
        command = ["-m", "bench.bandwidth"]
    elif run.way in SCENARIOS:
        command = ["-m", "bench.scenarios", run.way, run.model, str(folder)]
    else:
        way = WAYS[run.way]
        python = way.python
        command = ["-m", f"bench.ways.{way.module}", way.option, run.model, str(folder)]
        command.append(str(run.count))
    done = subprocess.run(  # noqa: S603 - our own programs
        [str(python), *command], capture_output=True, text=True, cwd=ROOT, timeout=TIMEOUT_S
    )
    told = done.stderr.strip().splitlines()
    refused = [line.removeprefix(FALLBACK) for line in told if line.startswith(FALLBACK)]
    if done.returncode == FALLBACK_CODE:
        raise _refusal(run, refused[-1])
    if done.returncode != 0 or not done.stdout.strip():
        reason = (told or ["nothing was printed"])[-1]
        raise Refused(f"{run.way} could not be measured: {reason}")
    return Output(done.stdout.strip().splitlines()[-1], refused[-1] if refused else None)


def _print_share(results: Results, model: str, folder: Path, console: Console) -> None:
    """How near one conversation comes to what reading the weights alone would take."""
    alone = results.medians(model, "engine", 1)
    if alone:
        bytes_per_s = results.medians(model, "bandwidth", 0)["bytes_per_s"]
        bound = bytes_per_s / decode_bytes(folder)
        share = 1 / alone["token_gap_s"] / bound
        console.print(f"share of the bf16 bandwidth limit at N=1: {share:.0%}")


if __name__ == "__main__":
    sys.exit(main())
