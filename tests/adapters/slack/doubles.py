"""The adapter on the loopback Slack, with a core that records."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from pydantic import SecretStr
from typing_extensions import override

from adapters.slack.adapter import SlackAdapter
from adapters.slack.settings import Settings
from bot.adapter import AdapterState, Services
from bot.command import CommandRegistry
from bot.concurrency import beside
from bot.messages import Addressed, CommandInvoked, ConversationRef, Inbound, IncomingMessage
from tests.contract.recording_services import DictState, RecordingServices
from tests.slack_server.member import Member
from tests.slack_server.server import SIGNING_SECRET, SlackServer, running
from tests.slack_server.workspace import CHANNEL
from tests.sockets import until

BOT_TOKEN = "xoxb-1111-2222-not-a-real-one"
APP_TOKEN = "xapp-1-A0FIRESIDE-3333-not-a-real-one"


def settings_with(address: str = "http://127.0.0.1:9", **given: object) -> Settings:
    """Settings that point at a loopback Slack, its budgets out of the way."""
    wide = {"tier_2_per_minute": 6000, "tier_3_per_minute": 6000, "tier_4_per_minute": 6000}
    known: dict[str, object] = {
        "bot_token": SecretStr(BOT_TOKEN),
        "app_token": SecretStr(APP_TOKEN),
        "signing_secret": SecretStr(SIGNING_SECRET),
        "api_url": f"{address}/api",
        "files_url": address,
        "footer": "none",
        "posts_per_minute": 6000,
        **wide,
    }
    return Settings.model_validate(known | given)


class WorkspaceServices(RecordingServices):
    """Takes part in the threads, and hears the channels, that it is told of; /help is for its
    caller alone."""

    def __init__(self) -> None:
        super().__init__()
        self.channels: dict[str, Addressed] = {}
        self.threads: set[ConversationRef] = set()
        self.takes_part_always: set[ConversationRef] = set()
        self.kept = DictState()

    @property
    @override
    def commands(self) -> CommandRegistry:
        return CommandRegistry(
            [replace(command, is_private=command.name == "help") for command in super().commands]
        )

    @property
    @override
    def state(self) -> AdapterState:
        return self.kept

    @override
    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        if conversation in self.takes_part_always:
            return True
        return conversation in self.threads and before is None

    @override
    async def unaddressed(self, conversation: ConversationRef) -> Addressed | None:
        return self.channels.get(conversation.channel_id)


class LoopbackSlack:
    """The server, the adapter connected to it, and its members."""

    def __init__(
        self, server: SlackServer, adapter: SlackAdapter, services: WorkspaceServices
    ) -> None:
        self.server = server
        self.adapter = adapter
        self.services = services
        self.ann = Member(server, "U0ANN")
        self.ben = Member(server, "U0BEN")

    @property
    def submitted(self) -> Sequence[Inbound]:
        """What the adapter handed over, each once: the core knows what it has seen."""
        return self.services.submitted

    async def arrived(self, text: str, channel: str = CHANNEL) -> IncomingMessage:
        """Ann says something; what the adapter submits of it."""
        ts = await self.ann.say(text, channel)

        def found() -> IncomingMessage | None:
            events = [one for one in self.submitted if isinstance(one, IncomingMessage)]
            return next((one for one in events if one.id == f"{channel}:{ts}"), None)

        await until(lambda: found() is not None)
        return cast(IncomingMessage, found())

    async def say(self, text: str) -> IncomingMessage:
        """Ann writes to the bot directly."""
        return await self.arrived(text, "D0ANN")

    async def command(self, name: str, arguments: Mapping[str, str]) -> CommandInvoked:
        """Ann uses a slash command."""
        count = len(self.submitted)
        command = self.services.commands.get(name)
        group, _, rest = name.partition(" ")
        words = [rest] if rest else []
        for parameter in command.parameters:
            if parameter.name in arguments:
                words += [parameter.keyword or "", arguments[parameter.name]]
        await self.ann.slash(f"/{group}", " ".join(word for word in words if word))
        await until(lambda: len(self.submitted) > count)
        return cast(CommandInvoked, self.submitted[count])

    def shown(self) -> str:
        """All that the bot shows."""
        channels = self.server.workspace.messages
        return "\n".join(text for channel in channels for text in self.server.answers(channel))

    async def files(self) -> Mapping[str, str]:
        """The files that were shared somewhere."""
        uploads = self.server.methods.uploads.values()
        return {one.name: one.data.decode() for one in uploads if one.shared_in is not None}


def now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@asynccontextmanager
async def connected(
    services: Services,
    server: SlackServer,
    clock: Callable[[], float] | None = None,
    at: Callable[[], datetime] = now,
    **given: object,
) -> AsyncGenerator[SlackAdapter, None]:
    """An adapter that serves, until the block ends."""
    settings = settings_with(server.address, **given)
    clock = clock or asyncio.get_running_loop().time
    adapter = SlackAdapter(settings, services, at, clock)
    async with beside(adapter.run(), is_joined=False):
        await until(adapter.client.is_serving.is_set)
        yield adapter


@asynccontextmanager
async def started(
    services: WorkspaceServices | None = None,
    server: SlackServer | None = None,
    clock: Callable[[], float] | None = None,
    at: Callable[[], datetime] = now,
    **given: object,
) -> AsyncGenerator[LoopbackSlack, None]:
    """A loopback Slack with the adapter connected; what it did not know fails the test."""
    services = services or WorkspaceServices()
    async with running(server) as slack, connected(services, slack, clock, at, **given) as adapter:
        yield LoopbackSlack(slack, adapter, services)
