"""Kills and faults on real processes while people talk, and what the auditor says afterwards.

    python -m tests.auditor.campaign [--only NAME] [--seconds S] [--seed N]

One line a campaign, then each fault that was found. The seed decides who asks what and when, when
the process is killed and which calls fail; how the machine schedules the rest it cannot decide, so
the same seed meets the same storm, not the same interleaving.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tests.auditor.audit import Report, Verdict
from tests.auditor.loopback import loopback

QUESTIONS_PER_S = 1.6
MIN_WORDS, MAX_WORDS = 5, 440
MIN_S, MAX_S = 0.5, 8.0
LIVENESS_S = 90.0
"""After the last kill and the last fault everything is answered within this."""

FRESH_S = 20.0
"""A campaign of fresh installations begins another one so often."""

COLUMNS = (
    Verdict.LOST,
    Verdict.TOLD,
    Verdict.OUT_OF_ORDER,
    Verdict.INCOMPLETE,
    Verdict.DUPLICATED,
    Verdict.UNEXPECTED,
    Verdict.MISPLACED,
)


@dataclass(frozen=True, slots=True)
class Campaign:
    """When the process is killed, in seconds after its start, and how many calls fail in a second.

    With `is_patient` those seconds begin when it is connected, and it is killed at least once,
    however slow the machine is.
    """

    platform: str
    kill_after_s: tuple[float, float]
    faults_per_s: float = 0.0
    is_fresh: bool = False
    is_patient: bool = False
    longest_s: float = MAX_S


CAMPAIGNS = {
    "discord-kills": Campaign("discord", (0.3, 9.0)),
    "slack-kills": Campaign("slack", (0.3, 9.0), faults_per_s=0.4),
    "discord-fresh": Campaign("discord", (0.3, 6.0), is_fresh=True),
    "discord-faults": Campaign("discord", (10.0, 25.0), faults_per_s=0.4),
    "slack-faults": Campaign("slack", (10.0, 25.0), faults_per_s=0.4),
}
"""The five of the table in docs/reliability.md."""


@dataclass(slots=True)
class Outcome:
    """What a campaign did, and what came of it."""

    sent: int = 0
    kills: int = 0
    faults: int = 0
    report: Report = field(default_factory=Report)
    settled_s: float = 0.0


class Storm:
    """One campaign under way."""

    def __init__(self, campaign: Campaign, seed: int, log: TextIO) -> None:
        self._campaign = campaign
        self._seed = seed
        self._log = log
        self.outcome = Outcome()
        self._living: asyncio.subprocess.Process | None = None

    async def run(self, seconds: float) -> Outcome:
        """Let it blow for so long, let everything be answered, and judge."""
        try:
            return await self._run(seconds)
        finally:
            if self._living is not None and self._living.returncode is None:
                self._living.kill()

    async def _run(self, seconds: float) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            async with loopback(self._campaign.platform, self._seed) as platform:
                self._platform = platform
                ending = time.monotonic() + seconds
                first = 0
                while time.monotonic() < ending:
                    left_s = ending - time.monotonic()
                    length_s = min(left_s, FRESH_S) if self._campaign.is_fresh else left_s
                    data = tempfile.mkdtemp(dir=folder)
                    await self._one_installation(Path(data), length_s, first)
                    first += 1
                self.outcome.report = platform.people.report()
                self.outcome.sent = len(platform.people.asked)
        return self.outcome

    async def _one_installation(self, folder: Path, seconds: float, number: int) -> None:
        """Storm, then calm, over one data folder."""
        chances = [random.Random(f"{self._seed} {number} {name}") for name in "abc"]
        talking = asyncio.create_task(self._talk(chances[0]))
        failing = asyncio.create_task(self._fail(chances[1]))
        process = await self._kill_again_and_again(folder, seconds, chances[2])
        for task in (talking, failing):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._calm()
        await self._kill(process)

    async def _talk(self, chance: random.Random) -> None:
        people = self._platform.people
        await self._until_connected(is_it=True)  # nobody knows of it before
        while True:
            await asyncio.sleep(chance.expovariate(QUESTIONS_PER_S))
            words = round(MIN_WORDS * (MAX_WORDS / MIN_WORDS) ** chance.random())
            author = chance.choice(self._platform.authors)
            place = chance.choice(self._platform.places)
            await people.ask(author, place, words, chance.uniform(MIN_S, self._campaign.longest_s))

    async def _fail(self, chance: random.Random) -> None:
        if not self._campaign.faults_per_s:
            return
        while True:
            await asyncio.sleep(chance.expovariate(self._campaign.faults_per_s))
            self._platform.fail(chance)
            self.outcome.faults += 1

    async def _kill_again_and_again(
        self, folder: Path, seconds: float, chance: random.Random
    ) -> asyncio.subprocess.Process:
        """Kill and start the process for so long; gives the one that may live."""
        ending = time.monotonic() + seconds
        is_patient = self._campaign.is_patient
        process = await self._start(folder)
        while True:
            if is_patient:
                await self._until_connected(is_it=True)
            await asyncio.sleep(chance.uniform(*self._campaign.kill_after_s))
            if time.monotonic() >= ending and not (is_patient and self.outcome.kills == 0):
                break
            assert process.returncode is None, "it ended by itself"
            await self._kill(process)
            self.outcome.kills += 1
            self._platform.people.deaths.append(time.monotonic())
            self._platform.after_death(chance)
            process = await self._start(folder)
        return process

    async def _kill(self, process: asyncio.subprocess.Process) -> None:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await self._until_connected(is_it=False)

    async def _until_connected(self, *, is_it: bool) -> None:
        async with asyncio.timeout(LIVENESS_S):
            while self._platform.has_bot is not is_it:  # noqa: ASYNC110 - on the other side
                await asyncio.sleep(0.01)

    async def _start(self, folder: Path) -> asyncio.subprocess.Process:
        arguments = ("-m", "tests.auditor.process", self._campaign.platform)
        self._living = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, str(folder), self._platform.address, stderr=self._log
        )
        return self._living

    async def _calm(self) -> None:
        """Wait until all is answered, and a moment more for what should not come."""
        people, began_at = self._platform.people, time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(LIVENESS_S):
                while not people.is_settled():  # noqa: ASYNC110 - it is on the other side
                    await asyncio.sleep(0.5)
        self.outcome.settled_s = max(self.outcome.settled_s, time.monotonic() - began_at)
        written = -1
        while written != len(people.journal):
            written = len(people.journal)
            await asyncio.sleep(2.5)


def row(name: str, seed: int, outcome: Outcome) -> str:
    """A campaign as a line of a table."""
    counts = outcome.report.counts
    whole = counts[Verdict.WHOLE] + counts[Verdict.RECOVERED]
    cells = [f"{name} ({seed})", outcome.sent, outcome.kills, outcome.faults, whole]
    cells += [counts[Verdict.RECOVERED], *(counts[verdict] for verdict in COLUMNS)]
    return f"| {' | '.join(map(str, cells))} | {outcome.settled_s:.0f} s |"


HEADER = (
    "| campaign (seed) | sent | kills | faults | whole, once | of these recovered | "
    + " | ".join(COLUMNS)
    + " | calm after |"
)


def main() -> int:
    """Run the campaigns that were asked for; 1 where the auditor found a fault."""
    parser = argparse.ArgumentParser(description="Kill the bot while people talk to it.")
    parser.add_argument("--only", choices=CAMPAIGNS, action="append")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = 0
    sys.stdout.write(f"{HEADER}\n|{' --- |' * (HEADER.count('|') - 1)}\n")
    for name in given.only or CAMPAIGNS:
        with Path(tempfile.gettempdir(), f"fireside-{name}.log").open("w") as log:
            outcome = asyncio.run(Storm(CAMPAIGNS[name], given.seed, log).run(given.seconds))
        sys.stdout.write(f"{row(name, given.seed, outcome)}\n")
        for fault in outcome.report.faults:
            sys.stderr.write(f"  {name}: {fault.about} {fault.verdict}: {fault.why[:100]}\n")
        sys.stdout.flush()
        found += len(outcome.report.faults)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
