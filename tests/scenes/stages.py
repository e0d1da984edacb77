"""The three platforms' doubles with the whole message flow behind them, for the walk."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from adapters.console.adapter import ConsoleAdapter
from adapters.console.drawing import TerminalDisplay
from adapters.discord.adapter import DiscordAdapter
from adapters.slack.adapter import SlackAdapter
from bot.adapter import Adapter
from bot.errors import ModelNotInstalled
from bot.flow.orchestrator import Orchestrator
from bot.flow.queues import Limits
from bot.messages import ReplyView
from bot.models.available import Models
from bot.pictures.worker import Pictures
from bot.platforms.services import AdapterServices
from bot.store.sql.store import SqlStore
from config.catalogue import Catalogue, ModelEntry
from tests.adapters.console.doubles import SEAT, TypedLines, VirtualTerminal, console_on
from tests.adapters.discord.process import settings_for
from tests.adapters.slack.doubles import settings_with
from tests.doubles.discord_objects import BOT_ID, member
from tests.doubles.discord_server import DiscordServer
from tests.doubles.discord_server import running as running_discord
from tests.running_flow import composed, until
from tests.scenes.actor import Actor
from tests.scenes.script import Act, Run
from tests.scenes.witness import Witness
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import running as running_slack
from tests.slack_server.workspace import Json

INSTALLED = ("fireside", "blenderbot", "flan-t5-base", "flan-t5-small")
COLUMNS = 90
REPORTS = {"discord": "900", "slack": "C0REPORTS"}


@dataclass
class Core:
    """The message flow; `ended` are the answers that are whole, `owners` may grow."""

    store: SqlStore
    orchestrator: Orchestrator
    services: AdapterServices
    owners: list[str]
    ended: list[list[ReplyView]] = field(default_factory=list[list[ReplyView]])

    def attach(self, adapter: Adapter) -> Adapter:
        """Serve an adapter, seen by a witness."""
        target_in = adapter.capabilities.target_in
        reports = target_in and target_in(REPORTS[adapter.capabilities.platform])
        witness = Witness(adapter, self.ended.append, reports)
        self.services.account = adapter.account
        self.orchestrator.attach(witness)
        return witness

    async def settled(self, before: int) -> None:
        """Wait until one more answer has ended and nothing is left to do."""
        await until(lambda: len(self.ended) > before and self.orchestrator.in_memory() == 0)


class Stage(Protocol):
    """Where the script is played."""

    core: Core

    async def begin(self, act: Act) -> None:
        """Another conversation begins."""
        ...

    async def say(self, text: str) -> None:
        """Ann asks the bot."""
        ...

    async def chat(self, text: str) -> None:
        """Ben says something to everybody."""
        ...

    async def run(self, step: Run) -> None:
        """Ann gives a command."""
        ...

    def shown(self) -> str | list[Json]:
        """What Ann sees that she did not see when this was asked before."""
        ...


@asynccontextmanager
async def _core(folder: Path) -> AsyncGenerator[Core]:
    store, pictures, owners, engine = await SqlStore.open(folder), Pictures(), list[str](), Actor()
    models = Models(Catalogue.load().entries, _locate, engine)
    orchestrator, services = composed(
        store,
        engine,
        lambda: datetime.now(UTC),
        Limits(),
        pictures,
        models=models,
        owners=owners,
        reports=REPORTS,
    )
    try:
        yield Core(store, orchestrator, services, owners)
    finally:
        await pictures.close()
        await store.close()


@asynccontextmanager
async def _flowing(core: Core) -> AsyncGenerator[asyncio.TaskGroup]:
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        flow = group.create_task(core.orchestrator.run(started))
        await started.wait()
        yield group
        flow.cancel()


def _locate(entry: ModelEntry) -> Path:
    if entry.name not in INSTALLED:
        text = f"{entry.name} is not installed. Run: fireside models pull {entry.name}"
        raise ModelNotInstalled(text)
    return Path("/nowhere")


class Terminal(Stage):
    """A terminal of its own; what is shown is its text."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.lines = TypedLines()
        self.screen = VirtualTerminal(COLUMNS)
        self._read = 0

    @override
    async def begin(self, act: Act) -> None: ...

    @override
    async def say(self, text: str) -> None:
        self.lines.type(text)

    @override
    async def chat(self, text: str) -> None: ...

    @override
    async def run(self, step: Run) -> None:
        if self.lines.interrupt is not None:  # nothing can be typed while an answer is written
            before = len(self.core.ended)
            self.lines.interrupt()
            await self.core.settled(before)
        before = len(self.core.ended)
        self.lines.type(step.line(self.core.services.commands))
        await self.core.settled(before)

    @override
    def shown(self) -> str:
        lines = self.screen.screen()
        fresh = "\n".join(lines[self._read :])
        self._read = len(lines)
        return fresh.strip("\n")


@asynccontextmanager
async def terminal(folder: Path) -> AsyncGenerator[Terminal]:
    """A chat in a terminal."""
    async with _core(folder) as core:
        stage = Terminal(core)
        display = TerminalDisplay(console_on(stage.screen))
        adapter = ConsoleAdapter(
            core.services, stage.lines, display, SEAT, lambda: datetime.now(UTC)
        )
        core.owners.append(f"console:{SEAT.author.id}")
        core.attach(adapter)
        async with _flowing(core) as group:
            chat = group.create_task(adapter.run())
            yield stage
            stage.lines.type("quit")
            await chat


class Slack(Stage):
    """A channel for each act; what is shown are the calls that the bot makes to show something.

    What is said to the bot begins a thread; there Slack knows no slash commands, so that they are
    written after the bot's name.
    """

    SHOWING = ("chat.", "files.")

    def __init__(self, core: Core, ann: Member, ben: Member) -> None:
        self.core = core
        self._ann = ann
        self._ben = ben
        self._server = ann.server
        self._channel = ""
        self._thread: str | None = None
        self._calls = 0
        self._responses = 0

    @override
    async def begin(self, act: Act) -> None:
        self._channel, self._thread = f"C0{act.name.upper()}", None
        self._server.workspace.add_channel(self._channel)
        self._server.workspace.channels[self._channel]["creator"] = self._ann.user_id

    @override
    async def say(self, text: str) -> None:
        ts = await self._ann.say(f"{MENTION} {text}", self._channel, self._thread)
        self._thread = self._thread or ts

    @override
    async def chat(self, text: str) -> None:
        await self._ben.say(text, self._channel)

    @override
    async def run(self, step: Run) -> None:
        line = step.line(self.core.services.commands)
        if self._thread is not None:
            await self.say(line)
            return
        command, _, words = line.partition(" ")
        await self._ann.slash(command, words, self._channel)

    @override
    def shown(self) -> list[Json]:
        calls, responses = self._server.calls[self._calls :], self._server.responses
        fresh = [
            {"method": call.method, **call.arguments}
            for call in calls
            if call.method.startswith(self.SHOWING)
        ]
        fresh += [{"method": "response_url", **one} for one in responses[self._responses :]]
        self._calls, self._responses = len(self._server.calls), len(responses)
        return fresh


@asynccontextmanager
async def slack(folder: Path) -> AsyncGenerator[Slack]:
    """A workspace."""
    async with _core(folder) as core, running_slack() as server:
        server.workspace.add_channel(REPORTS["slack"])
        ann, ben = Member(server, "U0ANN"), Member(server, "U0BEN")
        settings = settings_with(server.address, footer="full")
        clock = asyncio.get_running_loop().time
        adapter = SlackAdapter(settings, core.services, lambda: datetime.now(UTC), clock)
        core.owners.append(f"slack:{ann.user_id}")
        core.attach(adapter)
        async with _flowing(core) as group:
            serving = group.create_task(adapter.run())
            await until(adapter.client.is_serving.is_set)
            yield Slack(core, ann, ben)
            serving.cancel()
    assert server.refusals == []


class Discord(Stage):
    """One channel; what is shown are the messages that Ann can see."""

    def __init__(self, core: Core, server: DiscordServer) -> None:
        self.core = core
        self._server = server
        self._seen: dict[str, Json] = {}

    @override
    async def begin(self, act: Act) -> None:
        self._server.messages.clear()

    @override
    async def say(self, text: str) -> None:
        await self._server.say(f"<@{BOT_ID}> {text}")

    @override
    async def chat(self, text: str) -> None:
        await self._server.say(text, "ben")

    @override
    async def run(self, step: Run) -> None:
        await self._server.command(step.name, step.arguments)

    @override
    def shown(self) -> list[Json]:
        now = {key: dict(message) for key, message in self._server.messages.items()}
        fresh = [message for key, message in now.items() if self._seen.get(key) != message]
        self._seen = now
        return fresh


@asynccontextmanager
async def discord(folder: Path) -> AsyncGenerator[Discord]:
    """A guild."""
    async with _core(folder) as core, running_discord() as server:
        settings = settings_for(server.address, footer="full")
        adapter = DiscordAdapter(settings, core.services, lambda: datetime.now(UTC))
        core.owners.append(f"discord:{member('ann')['id']}")
        core.attach(adapter)
        async with _flowing(core) as group:
            serving = group.create_task(adapter.run())
            await until(lambda: any(not guild.unavailable for guild in adapter.client.guilds))
            yield Discord(core, server)
            serving.cancel()
