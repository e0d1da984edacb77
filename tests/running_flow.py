"""The message flow on a real store, with a scripted platform and engine."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from bot.clock import utc_now
from bot.composition import OwnersRules, compose
from bot.conversation import Role, Turn
from bot.engine.base import Engine
from bot.errors import ModelNotInstalled
from bot.flow.orchestrator import Orchestrator
from bot.flow.queues import Limits
from bot.messages import Inbound
from bot.models.available import Models
from bot.pictures.worker import Pictures
from bot.platforms.services import AdapterServices
from bot.policy.word_list import WordList
from bot.settings.specs import DEFAULTS, SettingName
from bot.store.ports.store import Store
from bot.store.sql.store import SqlStore
from config.catalogue import Family, ModelEntry, Task
from tests.doubles.scripted import (
    ACCOUNT,
    START,
    Fuse,
    Platform,
    ScriptedAdapter,
    ScriptedEngine,
    fused,
)


@dataclass
class Clock:
    """A clock that stands still until it is told to move; each reading is a microsecond later."""

    time: datetime = START

    def __call__(self) -> datetime:
        self.time += timedelta(microseconds=1)
        return self.time

    def move(self, **delta: float) -> None:
        """Let time pass."""
        self.time += timedelta(**delta)


def entry(name: str, *, label: str | None = None, tasks: Sequence[Task] = ()) -> ModelEntry:
    """A catalogue entry for tests."""
    return ModelEntry(
        name=name,
        title=name.title(),
        family=Family.CHAT,
        description=f"The {name} model.",
        licence="MIT",
        context_tokens=512,
        weight_bytes=1,
        has_system_prompt=True,
        folder=Path("/nowhere"),
        label=label,
        tasks=tuple(tasks),
    )


OFTEN = Limits(rescan_s=0.01)
"""What is stored is looked through again and again: for tests of what must not come of that."""

SELDOM = Limits(rescan_s=0.2)
"""Looking through it takes more than a scripted answer does, so most tests wait for little else."""

OWNERS = ["scripted:olga"]

HOSTS = ["chat.example.org"]
"""What this process contacted, as /privacy tells it."""

ENTRIES = {
    "small": entry("small"),
    "large": entry("large", tasks=tuple(Task)),
    "absent": entry("absent"),
}


def locate(model: ModelEntry) -> Path:
    """Where a model's files are; one of them is not there."""
    if model.name == "absent":
        raise ModelNotInstalled("absent is not installed. Run: fireside models pull absent")
    return Path("/nowhere")


@dataclass
class Flow:
    """One process's message flow, running."""

    store: Store
    orchestrator: Orchestrator
    adapter: ScriptedAdapter
    engine: ScriptedEngine
    platform: Platform
    services: AdapterServices
    clock: Clock
    pauses: list[float] = field(default_factory=list[float])

    async def submit(self, *events: Inbound) -> None:
        """Deliver events one after another."""
        for event in events:
            await self.services.submit(event)

    async def settle(self, *targets: str) -> None:
        """Let the flow run until these questions have their whole answer."""
        await until(lambda: self._ended().issuperset(targets))

    def said(self, target: str) -> str:
        """The answer to a question, as it is shown."""
        return self.platform.answer(target)

    def asked(self, number: int = -1) -> list[Turn]:
        """What the engine was asked, without the persona."""
        return [one for one in self.engine.requests[number].turns if one.role is not Role.SYSTEM]

    def _ended(self) -> set[str]:
        return {message.target for message in self.platform.messages() if message.is_last}


async def until(condition: Callable[[], bool], turns: int = 20_000) -> None:
    """Let others run until a condition holds; fail where it never does."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came true")


def composed(
    store: Store,
    engine: Engine,
    clock: Callable[[], datetime] = utc_now,
    limits: Limits | None = None,
    pictures: Pictures | None = None,
    words: WordList | None = None,
    reports: Mapping[str, str] | None = None,
    models: Models | None = None,
    owners: Sequence[str] = OWNERS,
    persona: str | None = "Be kind.",
) -> tuple[Orchestrator, AdapterServices]:
    """The core over these parts, with scripted ones for the rest; `persona` is what the owner set.

    It is the program's own `compose` that puts them together.
    """
    models = models or Models(ENTRIES, locate, engine)
    rules = OwnersRules(
        defaults={
            **DEFAULTS,
            SettingName.MODEL: next(iter(models)).name,
            **({} if persona is None else {SettingName.PERSONA: persona}),
            SettingName.RETENTION_DAYS: "30",
        },
        owners=owners,
        words=words or WordList(),
        report_channels=reports or {},
        limits=limits or Limits(),
    )
    core = compose(store, engine, models, pictures or Pictures(), rules, lambda: HOSTS, clock)
    return core.orchestrator, core.services_for("scripted")


@asynccontextmanager
async def running_flow(
    folder: Path,
    *,
    engine: ScriptedEngine | None = None,
    script: Sequence[Inbound] = (),
    fuse: Fuse | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
    max_chars: int = 2000,
    account: str = ACCOUNT,
    words: WordList | None = None,
    reports: Mapping[str, str] | None = None,
    tells_progress: bool = True,
    entries: Mapping[str, ModelEntry] = ENTRIES,
    persona: str | None = "Be kind.",
) -> AsyncGenerator[Flow]:
    """Start a process's flow over the store and the platform in a folder; end it hard."""
    clock, engine = clock or Clock(), engine or ScriptedEngine()
    real_store = await SqlStore.open(folder)
    store = fused(real_store, fuse) if fuse else real_store
    platform = Platform(folder / "platform.jsonl", max_chars)
    limits, pictures = limits or SELDOM, Pictures()
    models = Models(entries, locate, engine)
    orchestrator, services = composed(
        store, engine, clock, limits, pictures, words, reports, models=models, persona=persona
    )
    adapter = ScriptedAdapter(
        platform, services, script, fuse, account=account, tells_progress=tells_progress
    )
    services.account = account
    orchestrator.attach(adapter)
    started = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(orchestrator.run(started))
            await started.wait()
            delivering = group.create_task(adapter.run())
            yield Flow(store, orchestrator, adapter, engine, platform, services, clock)
            delivering.cancel()
            running.cancel()
    finally:
        await pictures.close()
        await real_store.close()
