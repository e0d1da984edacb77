"""One simulated storm: people talk, calls fail, the process dies, and then it is calm."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import cast
from zlib import crc32

from bot.errors import StoreUnavailable
from tests.auditor.audit import FINE, Asked, Finding, Forgotten, Report, Verdict
from tests.auditor.loopback import Loopback, loopback
from tests.auditor.people import People
from tests.simulator.memory_network import NetworkedLoop
from tests.simulator.one_source import STORE_FAULTS, close_connections, utc_now

STORM_S = (8.0, 25.0)
QUESTIONS_PER_S = 0.4
MIN_WORDS, MAX_WORDS = 5, 440
MIN_S, MAX_S = 0.3, 8.0
RECALLS, FOLLOWS, FOLLOWS_WITHIN_S = 0.3, 0.15, 0.5
MAX_RATE = 0.5
"""The most of each kind of fault in a second; how much of it there is the seed decides."""

ACKNOWLEDGED_WITHIN_S, RETRIES_S = 3.0, (0.0, 60.0, 300.0)
"""What Slack was not acknowledged in time it delivers again, so long after."""

IN_FLIGHT_S = 1.0
"""What was on its way when the bot said so arrives within this, and goes again."""

WATCH_S, SETTLES_S, AFTERWARDS_S, FORGETS_WITHIN_S = 0.2, 1.0, 20.0, 3.0

LIVENESS_S = 900.0
"""After the last fault everything is answered within this: Slack delivers again after 5 minutes."""

UNSETTLED = frozenset({Verdict.LOST, Verdict.INCOMPLETE})

AT_ANY_TIME = frozenset({Verdict.DUPLICATED, Verdict.MISPLACED, Verdict.AFTER_FORGET})
"""Verdicts that may at no moment be given."""

GIVEN_UP = " twice "
"""What is said of a message that was alone in the forward pass at two deaths: it is no finding."""

Trace = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What a simulation did, and what came of it."""

    seed: int
    platform: str
    sent: int = 0
    deaths: int = 0
    faults: int = 0
    seconds: float = 0.0
    settled_s: float = 0.0
    report: Report = field(default_factory=Report)
    findings: list[Finding] = field(default_factory=list[Finding])


class Storm:
    """One simulation. `trace` gets one line for each event."""

    def __init__(
        self, loop: NetworkedLoop, chance: random.Random, outcome: Outcome, trace: Trace
    ) -> None:
        self._loop = loop
        self._chance = chance
        self._trace_line = trace
        self.outcome = outcome
        self._platform: Loopback
        self._folder: Path
        self._process = 0
        self._living: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._was_answered: set[str] = set()
        self._leaving: list[tuple[str, float]] = []

    async def run(self, folder: Path) -> Outcome:
        """Let it blow, let everything be answered, and judge."""
        self._folder = folder
        async with loopback(self.outcome.platform, self.outcome.seed) as self._platform:
            people = self._platform.people
            self._start()
            watching = asyncio.create_task(self._watch())
            await self._connected.wait()  # nobody knows of the bot before
            retrying = asyncio.create_task(self._deliver_again())
            await self._blow()
            await self._calm()
            retrying.cancel()
            watching.cancel()
            self._kill()
            self._judge(people)
        self.outcome.seconds = self._loop.time()
        return self.outcome

    def _trace(self, what: str) -> None:
        self._trace_line(f"{self._loop.time():.6f} {what}")

    async def _blow(self) -> None:
        """Everything at its own rate, for as long as the storm lasts."""
        ending = self._loop.time() + self._chance.uniform(*STORM_S)
        kinds = {
            self._ask: QUESTIONS_PER_S,
            self._fail: self._rate(),
            self._fail_any: self._rate(),
            self._stall: self._rate() / 5,
            self._lock_store: self._rate() / 5,
            self._fill_disk: self._rate() / 5,
            self._die: self._rate() / 3,
            self._die_soon: self._rate() / 3,
            self._drop: self._rate() / 3,
            self._edit: self._rate() / 3,
            self._delete: self._rate() / 5,
            self._limit: self._rate() / 10,
            self._forget: self._rate() / 4,
        }
        while True:
            pause_s = self._chance.expovariate(sum(kinds.values()))
            if self._loop.time() + pause_s > ending:
                break
            await asyncio.sleep(pause_s)
            await self._chance.choices([*kinds], [*kinds.values()])[0]()

    def _rate(self) -> float:
        """How often a kind of fault comes: in many storms never."""
        return self._chance.choice((0.0, self._chance.uniform(0.0, MAX_RATE)))

    async def _ask(self) -> None:
        """Somebody asks, and now and then once more right after."""
        author = self._chance.choice(self._platform.authors)
        place = self._chance.choice(self._platform.places)
        await self._ask_once(author, place)
        if self._chance.random() < FOLLOWS:
            await asyncio.sleep(self._chance.uniform(0.0, FOLLOWS_WITHIN_S))
            await self._ask_once(author, place)

    async def _ask_once(self, author: str, place: str) -> None:
        chance = self._chance
        words = round(MIN_WORDS * (MAX_WORDS / MIN_WORDS) ** chance.random())
        recalls, seconds = chance.random() < RECALLS, chance.uniform(MIN_S, MAX_S)
        people = self._platform.people
        asked = await people.ask(author, place, words, seconds, recalls=recalls)
        self._trace(f"asked {asked.nonce} {author} {place} {words}")

    async def _fail(self) -> None:
        self._platform.fail(self._chance)
        self.outcome.faults += 1
        self._trace("a call is to fail")

    async def _fail_any(self) -> None:
        self.outcome.faults += 1
        self._trace(f"is to fail: {self._platform.fail_any(self._chance)}")

    async def _stall(self) -> None:
        self.outcome.faults += 1
        seconds = self._chance.choice((2.0, 15.0, 90.0))
        self._trace(f"a connection stands still for {seconds:.0f} s")
        self._loop.stall(seconds)

    async def _lock_store(self) -> None:
        self.outcome.faults += 1
        seconds = self._chance.choice((0.5, 4.0, 20.0))
        self._trace(f"another program has the database for {seconds} s")
        STORE_FAULTS.locked_until = self._loop.time() + seconds

    async def _fill_disk(self) -> None:
        self.outcome.faults += 1
        STORE_FAULTS.fails_in = self._chance.randint(1, 40)
        self._trace(f"statement {STORE_FAULTS.fails_in} is to fail")

    async def _drop(self) -> None:
        self.outcome.faults += 1
        self._trace("the connection breaks")
        await self._platform.cut(self._chance)

    async def _edit(self) -> None:
        if asked := self._recent():
            self._trace(f"edited {asked.nonce}")
            await self._platform.people.edit(asked)

    async def _delete(self) -> None:
        if asked := self._recent():
            self._trace(f"deleted {asked.nonce}")
            people = self._platform.people
            fine = {one.about for one in people.report().findings if one.verdict in FINE}
            self._was_answered |= {asked.id} & {one.id for one in people.asked if one.nonce in fine}
            await people.delete(asked)

    def _recent(self) -> Asked | None:
        """One of the latest questions."""
        latest = self._platform.people.asked[-5:]
        return self._chance.choice(latest) if latest else None

    async def _forget(self) -> None:
        """Somebody wants to be forgotten; it holds from the moment that the bot says so."""
        people, author = self._platform.people, self._chance.choice(self._platform.authors)
        told, asked_before = self._told_in_private(), self._loop.time()
        self._trace(f"{author} wants to be forgotten")
        await self._platform.forget(author)
        ending = asked_before + FORGETS_WITHIN_S
        while self._told_in_private() == told and self._loop.time() < ending:  # noqa: ASYNC110
            await asyncio.sleep(WATCH_S)
        is_told = self._told_in_private() > told
        if is_told:
            at = self._loop.time() + IN_FLIGHT_S
            people.forgotten.append(Forgotten(author, at, asked_before))
        # A command that is late takes what was asked meanwhile with it.
        self._leaving.append((author, self._loop.time() if is_told else inf))

    def _told_in_private(self) -> int:
        return sum(one.is_private for one in self._platform.people.journal)

    async def _limit(self) -> None:
        self.outcome.faults += 1
        self._trace("writes are limited")
        self._platform.limit_writes(self._chance)

    async def _die_soon(self) -> None:
        """Die between two steps, wherever they are."""
        self._loop.after_steps(self._chance.randint(1, 100), self._die_now)

    async def _die(self) -> None:
        self._die_now()

    def _die_now(self) -> None:
        """Die, and live again after a moment."""
        if self._living is None:
            return
        self._kill()
        self.outcome.deaths += 1
        self._platform.people.deaths.append(self._loop.time())
        self._platform.after_death(self._chance)
        self._loop.call_later(self._chance.uniform(0.5, 10.0), self._start)

    async def _deliver_again(self) -> None:
        """What is not acknowledged comes again at once, after a minute and after five."""
        first_seen: dict[str, float] = {}
        attempts: dict[str, int] = {}
        while True:
            await asyncio.sleep(1.0)
            for one in self._platform.unacknowledged:
                payload_id = str(one.payload.get("event_id", one.id))
                age_s = self._loop.time() - first_seen.setdefault(payload_id, self._loop.time())
                done = attempts.get(payload_id, 0)
                if done < len(RETRIES_S) and age_s >= ACKNOWLEDGED_WITHIN_S + RETRIES_S[done]:
                    attempts[payload_id] = done + 1
                    self._trace(f"delivered again {payload_id}")
                    await self._platform.deliver_again(one, done + 1)

    def _start(self) -> None:
        if self._living is None:
            self._process += 1
            self._trace(f"process {self._process} begins")
            self._living = self._loop.begin(self._process, self._live())

    async def _live(self) -> None:
        async with self._platform.bot(self._folder, utc_now):
            self._trace("connected")
            self._connected.set()
            await asyncio.Event().wait()

    def _kill(self) -> None:
        if self._living is not None:
            self._trace(f"process {self._process} dies")
            self._loop.kill(self._process)
            close_connections(self._process)
            self._living = None

    async def _watch(self) -> None:
        """Trace what is written, and look at each step for what may never be seen."""
        people, seen = self._platform.people, 0
        while True:
            for one in people.journal[seen:]:
                self._trace(
                    f"{one.change} {one.message_id} in {one.place} for {one.answers}"
                    f" {len(one.text)} {crc32(one.text.encode()):08x}"
                )
            if len(people.journal) > seen:
                seen = len(people.journal)
                self._find(one for one in people.report().faults if _is_never_seen(one))
            if self._living is not None and self._living.done():
                self._ended(self._living)
            await asyncio.sleep(WATCH_S)

    def _ended(self, process: asyncio.Task[None]) -> None:
        """A process that ended by itself begins again; only a database may make it end."""
        self._living = None
        error: BaseException | None = process.exception()
        self._trace(f"process {self._process} ended: {type(error).__name__}")
        while isinstance(error, BaseExceptionGroup):
            error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        if not isinstance(error, StoreUnavailable):
            why = f"it ended by itself: {error!r}"
            self._find([Finding(Verdict.UNEXPECTED, f"process {self._process}", why)])
        close_connections(self._process)
        self._start()

    def _find(self, findings: Iterable[Finding]) -> None:
        for one in findings:
            if one not in self.outcome.findings and not self._is_excused(one):
                self.outcome.findings.append(one)
                self._trace(f"FOUND {one}")

    async def _calm(self) -> None:
        """Until all is answered, and a moment more for what should not come."""
        self._trace("it is calm")
        self._loop.after_steps(0, int)
        STORE_FAULTS.locked_until = STORE_FAULTS.fails_in = 0
        self._platform.clear_faults()
        began = self._loop.time()
        if self._living is None:
            self._start()
        while not self._is_settled() and self._loop.time() < began + LIVENESS_S:  # noqa: ASYNC110
            await asyncio.sleep(SETTLES_S)
        self.outcome.settled_s = self._loop.time() - began
        await asyncio.sleep(AFTERWARDS_S)

    def _is_settled(self) -> bool:
        faults = self._platform.people.report().faults
        return not any(one.verdict in UNSETTLED and not self._is_excused(one) for one in faults)

    def _judge(self, people: People) -> None:
        report = people.report()
        self.outcome.sent = len(people.asked)
        self.outcome.report = report
        self._find(report.faults)

    def _is_excused(self, finding: Finding) -> bool:
        """Whether it is by design."""
        if finding.verdict is Verdict.TOLD and GIVEN_UP in finding.why:
            return self.outcome.deaths > 1
        return self._is_of_deleted(finding) or self._is_of_forgotten(finding)

    def _is_of_deleted(self, finding: Finding) -> bool:
        """The answer to a deleted question goes, unless it was there before or amid faults."""
        people = self._platform.people
        if finding.verdict is Verdict.MISPLACED:
            return any(one.nonce in finding.why for one in people.deleted)
        has_faults = bool(self.outcome.deaths or self.outcome.faults)
        left = [one for one in people.deleted if has_faults or one.id in self._was_answered]
        ids = {one.id for one in left}
        messages = {one.message_id for one in people.journal if one.answers in ids}
        return finding.about in messages or any(one.nonce in finding.why for one in left)

    def _is_of_forgotten(self, finding: Finding) -> bool:
        """What somebody asked before they wanted to be forgotten may stay unanswered.

        Another's answer that had begun by then may be shown whole.
        """
        people = self._platform.people
        if finding.verdict is Verdict.AFTER_FORGET:
            ids = {one.answers for one in people.journal if one.message_id in finding.why}
            begun = [one for one in people.asked if one.id in ids]
            return any(begun) and all(self._had_begun(one, finding.about) for one in begun)
        if finding.verdict not in UNSETTLED:
            return False
        asked = next(one for one in people.asked if one.nonce == finding.about)
        return any(asked.author == who and asked.at < before for who, before in self._leaving)

    def _had_begun(self, question: Asked, nonce: str) -> bool:
        """Whether a question was there when another one was forgotten, by somebody else."""
        people = self._platform.people
        forgotten = next((one for one in people.asked if one.nonce == nonce), None)
        return forgotten is not None and any(
            one.author == forgotten.author != question.author and question.at < one.at
            for one in people.forgotten
        )


def _is_never_seen(finding: Finding) -> bool:
    """What may be seen at no moment; a message may stand for a moment beside its replacement."""
    is_replaced = finding.verdict is Verdict.DUPLICATED and "," in finding.why
    return finding.verdict in AT_ANY_TIME and not is_replaced
