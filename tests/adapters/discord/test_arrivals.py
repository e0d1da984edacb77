"""What the bot answers and what it passes over, on simcord's virtual Discord."""

from dataclasses import replace

import discord
import pytest

from bot.errors import StoreUnavailable
from bot.messages import (
    Addressed,
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Removed,
    ReplyView,
)
from tests.adapters.discord.doubles import settings_with, simulated, thread_in

WHOLE = ReplyView("an answer", stable_chars=9, is_complete=True, is_last=True)


async def test_a_mention_is_submitted_with_who_where_and_what() -> None:
    async with simulated() as double:
        message = await double.ann.send(double.channel, f"{double.me} what is fire?")
        event = double.only

    assert event.id == str(message.id)
    assert event.text == "what is fire?"
    assert event.addressed is Addressed.MENTION
    assert (event.author.id, event.author.name) == (str(double.ann.id), "Ann")
    assert not event.author.can_manage
    assert event.conversation.installation_id == str(double.guild.id)
    assert event.conversation.channel_id == str(double.channel.id)
    assert event.conversation.thread_id is None
    assert not event.conversation.is_direct


async def test_what_is_not_addressed_to_it_is_not_submitted() -> None:
    async with simulated() as double:
        await double.ann.send(double.channel, "hello all")
        await double.ann.send(double.channel, f"hello {double.ben.mention}")
        await double.ann.send(double.channel, "hello @everyone")

        assert double.submitted == []


async def test_a_direct_message_is_submitted_without_a_mention() -> None:
    async with simulated() as double:
        await double.ann.send_dm("hello")
        event = double.only

    assert event.addressed is Addressed.DIRECT
    assert event.conversation.installation_id == "dm"
    assert event.conversation.is_direct
    assert event.author.can_manage


async def test_a_mention_of_the_role_that_discord_made_for_it_is_a_mention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with simulated() as double:
        role = double.guild.create_role("Fireside")
        # The simulation knows no roles that belong to a bot.
        own = property(lambda guild: guild.get_role(role.id))
        monkeypatch.setattr(discord.Guild, "self_role", own)
        other = double.guild.create_role("Cooks")
        await double.ann.send(double.channel, f"<@&{role.id}> hello")
        await double.ann.send(double.channel, f"<@&{other.id}> hello")
        event = double.only

    assert event.addressed is Addressed.MENTION
    assert event.text == "hello"


async def test_other_bots_and_webhooks_are_not_answered() -> None:
    async with simulated() as double:
        robot = double.guild.add_member(double.env.create_user("robot", bot=True))
        await robot.send(double.channel, f"{double.me} hello")
        await double.guild.create_webhook(double.channel).send(f"{double.me} hello")

        assert double.submitted == []


async def test_a_reply_to_its_own_message_is_submitted() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        answer = await double.adapter.post(event.target, WHOLE, "k.0")
        own = next(one for one in double.channel.history() if str(one.id) == answer)
        await double.ben.send(double.channel, "and why?", reply_to=own)
        reply = double.submitted[-1]

    assert isinstance(reply, IncomingMessage)
    assert reply.addressed is Addressed.REPLY
    assert [quoted.text for quoted in reply.quoted] == ["an answer"]
    assert reply.quoted[0].is_own
    assert reply.replies_to is not None


async def test_its_own_message_is_read_without_the_question_before_it() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        view = replace(WHOLE, text="> \u2060why?\n\nan answer")
        answer = await double.adapter.post(event.target, view, "k.0")
        own = next(one for one in double.channel.history() if str(one.id) == answer)
        await double.ben.send(double.channel, "and why?", reply_to=own)
        reply = double.submitted[-1]

    assert isinstance(reply, IncomingMessage)
    assert [quoted.text for quoted in reply.quoted] == ["an answer"]


async def test_a_reply_to_another_member_is_passed_over() -> None:
    async with simulated() as double:
        first = await double.ann.send(double.channel, "soup?")
        await double.ben.send(double.channel, "yes!", reply_to=first)

        assert double.submitted == []


async def test_a_mention_inside_a_reply_sees_the_chain_replied_to_oldest_first() -> None:
    async with simulated() as double:
        first = await double.ann.send(double.channel, "soup?")
        second = await double.ben.send(double.channel, "which one?", reply_to=first)
        third = await double.ann.send(double.channel, f"{double.me} say", reply_to=second)
        event = double.only

    assert event.id == str(third.id)
    assert [(one.author.name, one.text) for one in event.quoted] == [
        ("Ann", "soup?"),
        ("Ben", "which one?"),
    ]


async def test_a_thread_is_a_conversation_of_its_own() -> None:
    async with simulated() as double:
        thread = await thread_in(double)
        await double.ben.send(thread, "not for the bot")
        await double.ann.send(thread, f"{double.me} and?")
        event = double.only

    assert event.addressed is Addressed.MENTION
    assert event.conversation.channel_id == str(double.channel.id)
    assert event.conversation.thread_id == str(thread.id)


async def test_history_fetched_newest_first_does_not_lose_its_newest_end() -> None:
    async with simulated(settings_with(max_quoted=2)) as double:
        thread = await thread_in(double)
        for text in ("one", "two", "three"):
            await double.ben.send(thread, text)
        await double.ann.send(thread, f"{double.me} and?")

        assert [one.text for one in double.only.quoted] == ["two", "three"]


async def test_a_thread_that_it_was_mentioned_in_is_answered_without_a_mention() -> None:
    async with simulated() as double:
        thread = await thread_in(double)
        await double.ben.send(thread, f"{double.me} come in")
        double.services.threads.add(double.only.conversation)
        await double.ben.send(thread, "go on")
        later = double.submitted[-1]

    assert isinstance(later, IncomingMessage)
    assert later.addressed is Addressed.THREAD
    assert later.quoted == ()


async def test_a_thread_that_it_opened_is_answered_without_a_mention() -> None:
    async with simulated() as double:
        thread = await thread_in(double, is_bens=False)
        await double.ben.send(thread, "hello")

        assert double.only.addressed is Addressed.THREAD


async def test_in_a_configured_channel_every_message_is_answered() -> None:
    async with simulated() as probe:
        channel_id = str(probe.channel.id)
    async with simulated(settings_with(answer_all_channels=[channel_id])) as double:
        assert str(double.channel.id) == channel_id
        await double.ann.send(double.channel, "hello all")

        assert double.only.addressed is Addressed.CHANNEL


async def test_where_the_trigger_is_everything_every_message_is_answered() -> None:
    async with simulated() as double:
        await double.ann.send(double.channel, "hello all")
        assert double.submitted == []
        double.services.channels[str(double.channel.id)] = Addressed.CHANNEL
        await double.ann.send(double.channel, "hello again")

        assert double.only.addressed is Addressed.CHANNEL


async def test_where_it_may_listen_what_people_say_to_each_other_is_submitted_as_that() -> None:
    async with simulated() as double:
        double.services.channels[str(double.channel.id)] = Addressed.OVERHEARD
        first = await double.ann.send(double.channel, "soup at noon?")
        await double.ben.send(double.channel, "yes", reply_to=first)
        heard = double.submitted

        assert [isinstance(one, IncomingMessage) and one.text for one in heard] == [
            "soup at noon?",
            "yes",
        ]
        assert all(isinstance(one, IncomingMessage) and not one.quoted for one in heard)
        assert {one.addressed for one in heard if isinstance(one, IncomingMessage)} == {
            Addressed.OVERHEARD
        }


async def test_where_it_listens_a_thread_is_not_read_a_second_time() -> None:
    async with simulated() as double:
        double.services.channels[str(double.channel.id)] = Addressed.OVERHEARD
        thread = await thread_in(double)
        await double.ben.send(thread, "which soup?")
        await double.ann.send(thread, f"{double.me} say")
        event = double.submitted[-1]

    assert isinstance(event, IncomingMessage)
    assert (event.addressed, event.quoted) == (Addressed.MENTION, ())


async def test_what_it_could_not_keep_of_a_talk_troubles_nobody() -> None:
    async with simulated() as double:
        double.services.channels[str(double.channel.id)] = Addressed.OVERHEARD
        double.services.refusals.append(StoreUnavailable("The database is away."))
        await double.ann.send(double.channel, "soup at noon?")
        assert double.shown() == ""


async def test_an_empty_mention_is_submitted_and_raises_nothing() -> None:
    async with simulated() as double:
        await double.ann.send(double.channel, double.me)

        assert double.only.text == ""


async def test_names_of_members_channels_roles_and_emoji_reach_the_model() -> None:
    async with simulated() as double:
        role = double.guild.create_role("cooks")
        await double.ann.send(
            double.channel,
            f"{double.me} tell {double.ben.mention} and {role.mention} in "
            f"{double.channel.mention} <:soup:123456789012345678>",
        )

        assert double.only.text == "tell @Ben and @cooks in #general :soup:"


async def test_whoever_manages_the_channel_is_known_as_that() -> None:
    async with simulated() as double:
        allowed = discord.Permissions(manage_channels=True)
        role = double.guild.create_role("keepers", permissions=allowed)
        keeper = double.guild.add_member(double.env.create_user("kim"), roles=[role])
        await keeper.send(double.channel, f"{double.me} hello")

        assert double.only.author.can_manage
        assert double.only.author.roles == (str(role.id),)


async def test_an_edit_is_submitted_with_its_new_text() -> None:
    async with simulated() as double:
        message = await double.ann.send(double.channel, f"{double.me} hello")
        await double.ann.edit(message, f"{double.me} good bye")
        edit = double.submitted[-1]

    assert isinstance(edit, MessageEdited)
    assert (edit.id, edit.text) == (str(message.id), "good bye")


async def test_its_own_edits_are_not_submitted() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        posted = await double.adapter.post(event.target, ReplyView("one"), "k.0")
        await double.adapter.edit(event.target, posted, WHOLE)
        await double.env.settle()

        assert double.submitted == [event]


async def test_a_deletion_is_submitted_and_the_answer_stays() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        await double.adapter.post(event.target, WHOLE, "k.0")
        await double.ann.delete(double.channel.history()[0])

        assert isinstance(double.submitted[-1], MessageDeleted)
        assert "an answer" in double.shown()


async def test_by_setting_a_deletion_takes_the_answer_along() -> None:
    async with simulated(settings_with(delete_withdrawn=True)) as double:
        other = await double.say("hello")
        await double.adapter.post(other.target, WHOLE, "k.0")
        event = await double.say("hello again")
        await double.adapter.post(event.target, ReplyView("another answer"), "l.0")
        question = next(one for one in double.channel.history() if str(one.id) == event.id)
        await double.ann.delete(question)

        assert double.shown() == "an answer"


async def test_leaving_a_guild_is_submitted() -> None:
    async with simulated() as double:
        guild = double.adapter.client.get_guild(double.guild.id)
        assert guild is not None
        await guild.leave()
        await double.env.settle()

        assert double.submitted[-1] == Removed("discord", str(double.guild.id))


async def test_where_the_text_is_hidden_the_member_is_told_once_what_to_do() -> None:
    async with simulated(settings_with(message_content=False)) as double:
        thread = await thread_in(double)
        await double.ben.send(thread, f"{double.me} come in")
        event = double.only
        double.services.threads.add(event.conversation)
        await double.ben.send(thread, "go on")
        await double.ben.send(thread, "go on, I say")
        told = [one.content for one in thread.history() if one.author.bot]

        assert double.submitted == [event]
        assert len(told) == 1
        assert told[0].startswith("Discord does not show me what you write here")


async def test_where_it_may_not_write_owner_and_member_are_told_once_for_the_channel(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with simulated() as double:
        me = double.guild.me
        assert me is not None
        forbidden = discord.PermissionOverwrite(send_messages=False)
        channel = double.guild.create_text_channel("quiet", overwrites={me: forbidden})
        await double.ann.send(channel, f"{double.me} hello")
        await double.ann.send(channel, f"{double.me} hello?")

        assert double.submitted == []
        (told,) = [one for one in double.ann.user.dm_channel.history() if one.author.bot]
        assert (
            told.content
            == f"I may not write in <#{channel.id}>: it takes the permission Send Messages."
        )
    assert caplog.text.count("the permission Send Messages") == 1


async def test_a_question_that_could_not_be_stored_is_stored_when_the_database_is_back() -> None:
    async with simulated() as double:
        double.services.refusals.append(StoreUnavailable("The disk is full."))
        await double.ann.send(double.channel, f"{double.me} hello")
        assert double.submitted == []

        await double.adapter.client.missed.catch_up()
        assert double.only.text == "hello"
        assert double.shown() == ""
