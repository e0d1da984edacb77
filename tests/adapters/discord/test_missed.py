"""Mentions that came while the process was down."""

from collections.abc import Sequence

import discord

from adapters.discord.adapter import DiscordAdapter
from bot.messages import IncomingMessage
from bot.platforms.seen_mark import MARK_KEY
from tests.adapters.discord.doubles import (
    GuildServices,
    SimulatedDiscord,
    settings_with,
    simulated,
)

SECONDS_AGO = 90.0


def texts(services: GuildServices) -> Sequence[str]:
    return [event.text for event in services.submitted if isinstance(event, IncomingMessage)]


async def restart(double: SimulatedDiscord, **given: object) -> GuildServices:
    """A new process over what the one before kept."""
    services = GuildServices()
    services.kept.values.update(double.services.kept.values)
    adapter = DiscordAdapter(settings_with(**given), services, discord.utils.utcnow)
    await double.env.restart_bot(adapter.client)
    await double.env.settle()
    return services


async def go_down(double: SimulatedDiscord) -> dict[str, str]:
    """Let time pass and something be said, then keep the mark: what the process leaves behind."""
    await double.env.advance_time(SECONDS_AGO)
    await double.ben.send(double.channel, "the last that is heard")
    await double.adapter.client.missed.save()
    return dict(double.services.kept.values)


async def test_the_first_start_reads_nothing() -> None:
    async with simulated() as double:
        await double.say("old")
        double.services.kept.values.pop(MARK_KEY, None)
        services = await restart(double)

    assert texts(services) == []


async def test_the_first_start_keeps_its_mark_before_anything_is_heard() -> None:
    async with simulated() as double:
        assert MARK_KEY in double.services.kept.values


async def test_a_message_that_cannot_be_handled_keeps_no_other_one_from_being_found() -> None:
    async with simulated() as double:
        await double.say("heard")
        mark = await go_down(double)
        await double.say("troublesome")
        await double.say("missed")
        double.services.kept.values.update(mark)
        services = GuildServices()
        services.kept.values.update(double.services.kept.values)
        services.refusals.append(ValueError("it cannot be read"))
        adapter = DiscordAdapter(settings_with(), services, discord.utils.utcnow)
        await double.env.restart_bot(adapter.client)
        await double.env.settle()

    assert texts(services) == ["missed"]


async def test_a_mention_missed_while_down_is_answered_and_an_older_one_is_not() -> None:
    async with simulated() as double:
        await double.say("heard")
        mark = await go_down(double)
        await double.say("missed")
        await double.ann.send(double.channel, "not for the bot")
        double.services.kept.values.update(mark)
        services = await restart(double)

    assert texts(services) == ["missed"]


async def test_only_channels_that_moved_are_read() -> None:
    async with simulated() as double:
        quiet = double.guild.create_text_channel("quiet")
        await double.ann.send(quiet, "long ago")
        await double.say("heard")
        mark = await go_down(double)
        await double.say("missed")
        double.services.kept.values.update(mark)
        before = len(double.env.http_requests)
        await restart(double)
        read = [
            one.path
            for one in double.env.http_requests[before:]
            if one.method == "GET" and one.path.endswith("/messages")
        ]

    assert read == [f"/channels/{double.channel.id}/messages"]


async def test_what_is_too_old_is_not_answered() -> None:
    async with simulated() as double:
        await double.say("heard")
        mark = await go_down(double)
        await double.say("missed")
        double.services.kept.values.update(mark)
        await double.env.advance_time(1000)
        services = await restart(double, missed_max_age_s=900)

    assert texts(services) == []


async def test_the_number_of_channels_is_bounded() -> None:
    async with simulated() as double:
        other = double.guild.create_text_channel("other")
        await double.say("heard")
        mark = await go_down(double)
        await double.say("missed earlier")
        await double.ann.send(other, f"{double.me} missed later")
        double.services.kept.values.update(mark)
        services = await restart(double, missed_max_channels=1)

    assert texts(services) == ["missed later"]


async def test_a_channel_that_may_not_be_read_stops_nothing() -> None:
    async with simulated() as double:
        await double.say("heard")
        mark = await go_down(double)
        await double.say("missed")
        double.services.kept.values.update(mark)
        double.env.inject_error("GET", "/channels/*/messages", status=403)
        services = await restart(double)
        await double.ann.send(double.channel, f"{double.me} and now?")

    assert texts(services) == ["and now?"]


async def test_a_direct_message_missed_while_down_is_answered() -> None:
    async with simulated() as double:
        await double.ann.send_dm("heard")
        mark = await go_down(double)
        await double.ann.send_dm("missed")
        double.services.kept.values.update(mark)
        services = await restart(double)

    assert texts(services) == ["missed"]


async def test_a_direct_conversation_that_is_gone_stops_nothing() -> None:
    async with simulated() as double:
        await double.ann.send_dm("heard")
        await double.say("heard too")
        mark = await go_down(double)
        await double.say("missed")
        double.services.kept.values.update(mark)
        double.env.inject_error("GET", "/channels/*", status=404)
        services = await restart(double)

    assert texts(services) == ["missed"]


async def test_many_other_messages_hide_no_mention() -> None:
    async with simulated() as double:
        await double.say("heard")
        mark = await go_down(double)
        await double.say("the first of many")
        for number in range(120):
            await double.ben.send(double.channel, f"not for the bot {number}")
        double.services.kept.values.update(mark)
        services = await restart(double)

    assert texts(services) == ["the first of many"]
