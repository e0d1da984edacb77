"""Simulations: `python -m tests.simulator [--seed FIRST] [--count N] [--platform NAME] [--trace]`.

One line for each thing that is found, and a summary. Each runs in a process of its own,
since it replaces the clocks of the whole process.
"""

import argparse
import asyncio
import gc
import logging
import os
import pickle
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.store.sql.store import SqlStore
from tests.auditor.planted_faults import PLANTS
from tests.simulator.memory_network import NetworkedLoop
from tests.simulator.one_source import take_over
from tests.simulator.storm import Outcome, Storm

PLATFORMS = ("discord", "slack")
MEMORY_DISK = Path("/dev/shm")
"""Where there is one no write waits for a disk."""


def simulate(
    seed: int,
    platform: str,
    folder: Path,
    trace: Callable[[str], None] = lambda _line: None,
    plant: str | None = None,
) -> Outcome:
    """One simulation, in a process that does nothing else afterwards."""
    gc.disable()  # when it runs would decide when a coroutine is closed
    chance = random.Random(seed)
    loop = NetworkedLoop(chance)
    asyncio.set_event_loop(loop)
    take_over(loop, chance)
    if plant is not None:
        PLANTS[plant].into(pytest.MonkeyPatch())
    storm = Storm(loop, chance, Outcome(seed, platform), trace)
    return loop.run_until_complete(storm.run(folder))


def in_child(work: Callable[[], Outcome]) -> Outcome | None:
    """Run it in a copy of this process, which ends without tidying up; None where it failed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            code = 0
        except BaseException:  # the top of a process
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(told) if told else None


def main() -> int:
    """Run the simulations that were asked for; 1 where something was found."""
    parser = argparse.ArgumentParser(description="Simulate storms on a virtual clock.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--platform", choices=PLATFORMS)
    parser.add_argument(
        "--plant", choices=PLANTS, help="plant a fault, and stop at the seed that finds it"
    )
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--log", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO if given.log else logging.CRITICAL + 1)
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        return _run(given, Path(folder))


def _run(given: argparse.Namespace, folder: Path) -> int:
    empty = folder / "empty"
    asyncio.run(_prepare(empty))
    found, totals = 0, Counter[str]()
    for seed in range(given.seed, given.seed + given.count):
        outcome = _simulated(given, seed, empty, folder / str(seed))
        found += outcome is None or bool(outcome.findings)
        if outcome is not None:
            totals.update({str(one): number for one, number in outcome.report.counts.items()})
            if given.plant is not None and _is_named(given.plant, outcome):
                _say(f"{given.plant}: seed {seed}, {PLANTS[given.plant].verdict}")
                return 0
    _say(f"{given.count} simulations, {found} with findings: {dict(totals)}")
    used = os.times()
    sys.stderr.write(f"{used.children_user + used.children_system:.1f} s of CPU\n")
    return 1 if found else 0


def _simulated(given: argparse.Namespace, seed: int, empty: Path, place: Path) -> Outcome | None:
    """One simulation, with a line for each thing that is found; None where it failed."""
    platform: str = given.platform or PLATFORMS[seed % 2]
    trace: Callable[[str], None] = _say if given.trace else lambda _line: None
    shutil.copytree(empty, place)
    outcome = in_child(lambda: simulate(seed, platform, place, trace, given.plant))
    shutil.rmtree(place)
    if outcome is None:
        _say(f"seed {seed} {platform}: the simulation failed")
    elif given.plant is None:
        for one in outcome.findings:
            _say(f"seed {seed} {platform}: {one.about} {one.verdict}: {one.why[:150]}")
    return outcome


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _is_named(plant: str, outcome: Outcome) -> bool:
    """Whether the plant was found for what it is."""
    return PLANTS[plant].verdict in {one.verdict for one in outcome.findings}


async def _prepare(folder: Path) -> None:
    """An empty database, which every simulation begins with."""
    store = await SqlStore.open(folder)
    await store.close()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of texts are in an order of their own in each process otherwise.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulator", *sys.argv[1:]])
    sys.exit(main())
