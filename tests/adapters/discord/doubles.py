"""The adapter on simcord: a guild, its channels and members, and the core that records."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import discord
import simcord
from pydantic import SecretStr
from simcord import ChannelHandle
from typing_extensions import override

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.settings import Settings
from bot.adapter import AdapterState
from bot.command import CommandRegistry
from bot.messages import Addressed, CommandInvoked, ConversationRef, Inbound, IncomingMessage
from tests.contract.recording_services import DictState, RecordingServices

BOT_ID = 123456789012345678
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.Gabcde.not-a-real-one"


def settings_with(**given: object) -> Settings:
    """Settings with a token; Message Content is taken as granted."""
    return Settings.model_validate({"token": SecretStr(TOKEN), "message_content": True, **given})


class GuildServices(RecordingServices):
    """Takes part in the threads, and answers everything in the channels, that it is told of;
    /help and /translate are for their caller alone."""

    def __init__(self) -> None:
        super().__init__()
        self.channels: dict[str, Addressed] = {}
        self.threads: set[ConversationRef] = set()
        self.kept = DictState()

    @property
    @override
    def commands(self) -> CommandRegistry:
        return CommandRegistry(
            [
                replace(command, is_private=command.name in ("help", "translate"))
                for command in super().commands
            ]
        )

    @property
    @override
    def state(self) -> AdapterState:
        return self.kept

    @override
    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        return conversation in self.threads and before is None

    @override
    async def unaddressed(self, conversation: ConversationRef) -> Addressed | None:
        return self.channels.get(conversation.channel_id)


class SimulatedDiscord:
    """A guild with a channel and two members, and the adapter's client connected to it."""

    def __init__(self, env: simcord.Env, adapter: DiscordAdapter, services: GuildServices) -> None:
        self.env = env
        self.adapter = adapter
        self.services = services
        self.guild = env.create_guild("Home")
        self.channel = self.guild.create_text_channel("general")
        self.ann = self.guild.add_member(env.create_user("ann", global_name="Ann"))
        self.ben = self.guild.add_member(env.create_user("ben", global_name="Ben"))

    @property
    def me(self) -> str:
        """How the bot is mentioned."""
        user = self.adapter.client.user
        assert user is not None
        return user.mention

    @property
    def submitted(self) -> Sequence[Inbound]:
        """What the adapter handed over."""
        return self.services.submitted

    @property
    def only(self) -> IncomingMessage:
        """The one message that was submitted."""
        (event,) = self.services.submitted
        assert isinstance(event, IncomingMessage)
        return event

    async def say(self, text: str) -> IncomingMessage:
        """Ann mentions the bot in the channel."""
        await self.ann.send(self.channel, f"{self.me} {text}")
        return cast(IncomingMessage, self.services.submitted[-1])

    async def command(self, name: str, arguments: Mapping[str, str]) -> CommandInvoked:
        """Ann uses a slash command."""
        await self.ann.slash(self.channel, name, **arguments)
        return cast(CommandInvoked, self.services.submitted[-1])

    def shown(self) -> str:
        """All that the bot shows in the channel."""
        user = self.adapter.client.user
        assert user is not None
        return "\n".join(
            message.content for message in self.channel.history() if message.author.id == user.id
        )

    async def files(self) -> Mapping[str, str]:
        """What is attached to the messages in the channel."""
        attached = [one for message in self.channel.history() for one in message.attachments]
        return {one.filename: (await one.read()).decode() for one in attached}

    def bodies(self, method: str) -> list[Mapping[str, object]]:
        """What the bot sent to routes about messages, by method."""
        return [
            cast("Mapping[str, object]", entry.json)
            for entry in self.env.http_requests
            if entry.method == method and "/messages" in entry.path and entry.json
        ]


async def thread_in(double: SimulatedDiscord, *, is_bens: bool = True) -> ChannelHandle:
    """A thread under a message of Ann's; simcord lets the bot alone open one."""
    first = await double.ann.send(double.channel, "a topic")
    channel = double.adapter.client.get_channel(double.channel.id)
    assert isinstance(channel, discord.TextChannel)
    thread = await channel.get_partial_message(first.id).create_thread(name="topic")
    if is_bens:
        cached = channel.get_thread(thread.id)
        assert cached is not None
        cached.owner_id = double.ben.id
    (handle,) = double.channel.threads
    return handle


@asynccontextmanager
async def started(
    settings: Settings | None = None, services: GuildServices | None = None
) -> AsyncGenerator[SimulatedDiscord, None]:
    """A running simulation, as a fixture can hold it; a swallowed error fails the test."""
    services = services or GuildServices()
    adapter = DiscordAdapter(settings or settings_with(), services, discord.utils.utcnow)
    env = simcord.Env(adapter.client, shard_count=1)
    await env.start()
    try:
        yield SimulatedDiscord(env, adapter, services)
    finally:
        await env.shutdown()
    env.raise_errors()


@asynccontextmanager
async def simulated(
    settings: Settings | None = None, services: GuildServices | None = None
) -> AsyncGenerator[SimulatedDiscord, None]:
    """A running simulation inside one test, with its clock and its webhooks."""
    async with started(settings, services) as double:
        with double.env.time_context():
            yield double
