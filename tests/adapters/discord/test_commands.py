"""The neutral commands as Discord's application commands."""

from typing import cast

import discord
import pytest

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.commands import MAX_DESCRIPTION, digest, payload, typed
from bot.command import (
    Caller,
    Command,
    CommandRegistry,
    Outcome,
    Parameter,
    ParameterKind,
    Said,
    Who,
)
from bot.errors import StoreUnavailable
from bot.messages import Addressed, CommandInvoked, IncomingMessage
from tests.adapters.discord.doubles import GuildServices, settings_with, simulated
from tests.contract.recording_services import RecordingServices


async def run(caller: Caller, arguments: object) -> Outcome:
    del caller, arguments
    return Said("done")


SCOPE = Parameter("scope", "for whom", ParameterKind.SCOPE, False, "for", ("me", "channel"))
NAME = Parameter("name", "which", ParameterKind.MODEL)
REGISTRY = CommandRegistry(
    [
        Command("ask", "Ask " + "a" * 200, run, (Parameter("question", "what"),)),
        Command("model list", "List them", run, who=Who.MANAGER),
        Command("model use", "Switch", run, (SCOPE, NAME)),
        Command("purge", "Delete all", run, who=Who.OWNER),
    ]
)


def rendered() -> dict[str, dict[str, object]]:
    return {str(one["name"]): one for one in payload(REGISTRY, "manage_guild")}


def test_a_space_in_a_name_makes_a_group() -> None:
    group = rendered()["model"]

    options = cast("list[dict[str, object]]", group["options"])
    assert [(one["type"], one["name"]) for one in options] == [(1, "list"), (1, "use")]


def test_required_parameters_come_first_and_closed_lists_are_choices() -> None:
    options = cast("list[dict[str, object]]", rendered()["model"]["options"])
    name, scope = cast("list[dict[str, object]]", options[1]["options"])

    assert (name["name"], name["required"], name["autocomplete"]) == ("name", True, True)
    assert scope["choices"] == [
        {"name": "me", "value": "me"},
        {"name": "channel", "value": "channel"},
    ]
    assert "autocomplete" not in scope


def test_no_description_is_longer_than_discord_takes() -> None:
    assert len(str(rendered()["ask"]["description"])) == MAX_DESCRIPTION


def test_commands_work_in_guilds_direct_messages_and_where_only_a_user_installed_it() -> None:
    for command in rendered().values():
        assert command["integration_types"] == (0, 1)
        assert command["contexts"] == (0, 1, 2)


def test_a_command_for_managers_is_hidden_from_others_by_discord() -> None:
    manage_guild = str(discord.Permissions(manage_guild=True).value)

    assert rendered()["purge"]["default_member_permissions"] == manage_guild
    assert "default_member_permissions" not in rendered()["model"]
    assert "default_member_permissions" not in rendered()["ask"]


def test_the_digest_changes_with_the_commands_and_with_the_application() -> None:
    commands = payload(REGISTRY, "manage_guild")

    assert digest(commands, 1) == digest(payload(REGISTRY, "manage_guild"), 1)
    assert digest(commands, 1) != digest(commands, 2)
    assert digest(commands, 1) != digest(commands[:-1], 1)


def test_a_sub_command_is_read_with_its_arguments() -> None:
    given = {"name": "name", "type": 3, "value": "smol", "focused": True}
    data = {"name": "model", "options": [{"type": 1, "name": "use", "options": [given]}]}

    assert typed(data).name == "model use"
    assert typed(data).arguments == {"name": "smol"}
    assert typed(data).focused == "name"


async def test_commands_are_sent_only_when_they_have_changed() -> None:
    services = GuildServices()
    async with simulated(services=services) as double:
        restarted = DiscordAdapter(settings_with(), services, discord.utils.utcnow)
        await double.env.restart_bot(restarted.client)
        changed = DiscordAdapter(settings_with(), GuildServices(), discord.utils.utcnow)
        await double.env.restart_bot(changed.client)
        syncs = [one for one in double.env.http_requests if one.path.endswith("/commands")]

    assert len(syncs) == 2


async def test_a_failed_sync_is_logged_and_the_bot_works_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with simulated() as double:
        services = GuildServices()
        restarted = DiscordAdapter(settings_with(), services, discord.utils.utcnow)
        double.env.inject_error("PUT", "/applications/*/commands", status=500)
        await double.env.restart_bot(restarted.client)
        await double.ann.send(double.channel, f"{double.me} hello")

        assert len(services.submitted) == 1
        assert "commands" not in services.kept.values
    assert "the commands stay as they were" in caplog.text


async def test_a_slash_command_is_acknowledged_and_submitted() -> None:
    async with simulated() as double:
        result = await double.ann.slash(double.channel, "model use", name="fireside")
        (command,) = double.submitted

    assert result.acknowledged
    assert isinstance(command, CommandInvoked)
    assert (command.name, dict(command.arguments)) == ("model use", {"name": "fireside"})
    assert command.conversation.channel_id == str(double.channel.id)
    assert command.author.name == "Ann"
    assert not command.author.can_manage
    assert command.target.expires_at is not None


async def test_a_command_in_a_direct_message_is_its_callers_own_place() -> None:
    async with simulated() as double:
        await double.ann.user.slash("ask", question="why?")
        (command,) = double.submitted

    assert isinstance(command, CommandInvoked)
    assert command.conversation.is_direct
    assert command.author.can_manage


async def test_a_parameter_is_completed_from_what_there_is() -> None:
    async with simulated() as double:
        found = await double.ann.autocomplete(double.channel, "model use", "name", "flan")

    assert [one["value"] for one in found] == ["flan-t5-base", "flan-t5-small"]


async def test_the_command_on_a_message_asks_about_that_message() -> None:
    async with simulated() as double:
        message = await double.ben.send(double.channel, "is this true?")
        result = await double.ann.context_menu(double.channel, "Ask Fireside", message)
        (event,) = double.submitted

    assert result.acknowledged
    assert isinstance(event, IncomingMessage)
    assert event.addressed is Addressed.COMMAND
    assert [(one.author.name, one.text) for one in event.quoted] == [("Ben", "is this true?")]
    assert event.author.name == "Ann"


async def test_a_command_in_a_messages_menu_gets_its_text_in_private() -> None:
    async with simulated() as double:
        message = await double.ben.send(double.channel, f"hallo {double.ann.mention}")
        await double.ann.context_menu(double.channel, "Translate", message)
        (event,) = double.submitted

    assert isinstance(event, CommandInvoked)
    assert '"is_private":true' in event.target.handle
    assert (event.name, dict(event.arguments)) == ("translate", {"text": "hallo @Ann"})


async def test_a_command_in_a_messages_menu_can_take_its_id() -> None:
    async with simulated() as double:
        message = await double.ben.send(double.channel, "it begins here")
        await double.ann.context_menu(double.channel, "Summarize from here", message)
        (event,) = double.submitted

    assert isinstance(event, CommandInvoked)
    assert dict(event.arguments) == {"what": f"message:{message.id}"}


def test_every_menu_of_the_registry_stands_on_messages() -> None:
    commands = payload(RecordingServices().commands, "manage_channels")
    menus = [one["name"] for one in commands if one["type"] == 3]
    assert menus == ["Ask Fireside", "Translate", "Summarize from here"]


async def test_a_command_that_could_not_be_stored_is_told_to_its_caller() -> None:
    async with simulated() as double:
        double.services.refusals.append(StoreUnavailable("/srv/fireside.db is locked."))
        result = await double.ann.slash(double.channel, "ask", question="why?")

        assert result.response is not None
        assert result.response.content is not None
        assert result.response.content.startswith("I cannot reach my database just now.")
