"""Records how one mention walks through the code: how often it changes from file to file.

    python -m scripts.message_walk [--pairs]

The whole bot runs against the tests' loopback Discord, with a scripted engine, and
`sys.setprofile` sees every call in every thread. A change of file is a call that leads from one
file of `bot/` or `adapters/` into another; what other libraries do between the two is skipped, and
neither a task's first step nor a coroutine that continues after a wait is a call. `--pairs` lists
the changes by caller and callee.

Several mentions of one member are recorded, the first of all left out, and the median is printed:
timing decides whether a text is shown once or twice while it grows.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median_low
from types import FrameType

from scripts.requirements import ROOT
from tests.adapters.discord.process import bot
from tests.doubles.discord_objects import BOT_ID
from tests.doubles.discord_server import running
from tests.doubles.scripted import ScriptedEngine
from tests.sockets import settled, until

MENTIONS = 6
OURS = (f"{ROOT}/bot/", f"{ROOT}/adapters/")
FLOW = "bot/flow/"
SETTINGS_TABLE = "bot/store/sql/settings_table.py"
SETTINGS_READS = ("read", "read_all")
TRANSACTION = ("bot/store/sql/database.py", ("reading", "writing"))
AFTERWARDS_S = 0.3
"""What is done beside an answer, once it is shown, has ended after this time."""


class Walk:
    """The calls of one message."""

    def __init__(self) -> None:
        self.changes: Counter[tuple[str, str]] = Counter()
        self.files: set[str] = set()
        self.settings_reads = 0
        self.transactions = 0

    @property
    def changes_of_file(self) -> int:
        """How often a call led from one file into another."""
        return self.changes.total()

    @property
    def called_back(self) -> set[str]:
        """The files of the flow that what they call calls back into, directly or through others."""
        return {file for file in self.files if file in self._reached_from(file)}

    def _reached_from(self, file: str) -> set[str]:
        reached, left = set[str](), [file]
        while left:
            at = left.pop()
            inside = {pair for pair in self.changes if pair[1].startswith(FLOW)}
            callees = {callee for caller, callee in inside if caller == at}
            left += callees - reached
            reached |= callees
        return reached

    def enter(self, frame: FrameType) -> None:
        """Count a call of a function of ours."""
        file, caller, name = _file(frame), _caller(frame), frame.f_code.co_name
        self.files.add(file)
        if caller is not None and caller != file:
            self.changes[caller, file] += 1
        self.settings_reads += file == SETTINGS_TABLE and name in SETTINGS_READS
        self.transactions += file == TRANSACTION[0] and name in TRANSACTION[1]


class Recorder:
    """Sees every call in every thread that starts after it; `walk` is what counts them."""

    def __init__(self) -> None:
        self.walk: Walk | None = None

    def install(self) -> None:
        """Watch this thread, and those to come."""
        threading.setprofile(self._see)
        sys.setprofile(self._see)

    def _see(self, frame: FrameType, event: str, _argument: object) -> None:
        if self.walk is not None and event == "call" and _is_ours(frame) and _is_begun(frame):
            self.walk.enter(frame)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(OURS)


def _is_begun(frame: FrameType) -> bool:
    """Whether a function begins, and no coroutine or generator continues: RESUME 0 is read."""
    return frame.f_code.co_code[frame.f_lasti + 1] == 0


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename.removeprefix(f"{ROOT}/")


def _caller(frame: FrameType) -> str | None:
    """The nearest file of ours that the call came from; None where it came from a library alone."""
    before = frame.f_back
    while before is not None and not _is_ours(before):
        before = before.f_back
    return None if before is None else _file(before)


async def record() -> list[Walk]:
    """One walk for each mention but the first."""
    recorder, walks = Recorder(), list[Walk]()
    recorder.install()
    with tempfile.TemporaryDirectory() as folder:
        async with running() as server, bot(server.address, Path(folder), ScriptedEngine()):
            for number in range(MENTIONS):
                recorder.walk = Walk()
                await server.say(f"<@{BOT_ID}> hello", f"m{number}")
                await until(lambda so_far=number + 1: len(server.answers()) == so_far)
                await until(lambda: "fireside:retry" in str(server.messages))
                await settled(AFTERWARDS_S)
                walks.append(recorder.walk)
                recorder.walk = None
    sys.setprofile(None)
    return walks[1:]


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__, add_help=True)
    options.add_argument("--pairs", action="store_true", help="list the changes of one mention")
    given, walks = options.parse_args(), asyncio.run(record())
    figures: dict[str, Callable[[Walk], int]] = {
        "changes of file": lambda walk: walk.changes_of_file,
        "files": lambda walk: len(walk.files),
        "files of the flow that are called back into": lambda walk: len(walk.called_back),
        "reads of settings": lambda walk: walk.settings_reads,
        "transactions": lambda walk: walk.transactions,
    }
    for name, figure in figures.items():
        sys.stdout.write(f"{name}: {median_low(map(figure, walks))}\n")
    if given.pairs:
        for (caller, file), times in walks[0].changes.most_common():
            sys.stdout.write(f"{times:5} {caller} -> {file}\n")
        sys.stdout.write(f"called back into: {', '.join(sorted(walks[0].called_back))}\n")


if __name__ == "__main__":
    main()
