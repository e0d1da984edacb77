"""How answers are posted, edited, found and ended."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import discord
import pytest

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.handle import Handle
from bot.errors import PlatformError, PlatformUnavailable, StoreUnavailable, TargetExpired
from bot.messages import (
    Action,
    ActionInvoked,
    Buttons,
    CommandInvoked,
    Picture,
    ReplyTarget,
    ReplyView,
)
from tests.adapters.discord.doubles import (
    GuildServices,
    SimulatedDiscord,
    settings_with,
    simulated,
    thread_in,
)

STREAMING = ReplyView("one two", actions=(Action.STOP,))


def whole(text: str, *, index: int = 0, is_private: bool = False) -> ReplyView:
    return ReplyView(text, index, len(text), is_complete=True, is_last=True, is_private=is_private)


def mentions(body: Mapping[str, object]) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", body["allowed_mentions"])


async def test_model_output_can_ping_nobody_in_any_post_or_edit() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        text = f"@everyone <@{double.ben.id}>"
        posted = await double.adapter.post(event.target, ReplyView(text), "k.0")
        await double.adapter.edit(event.target, posted, whole(f"{text}!"))
        command = await double.command("ask", {"question": "why"})
        await double.adapter.post(command.target, whole(text), "c.0")
        await double.adapter.post(command.target, whole(text, index=1), "c.1")
        bodies = [*double.bodies("POST"), *double.bodies("PATCH")]

    assert len(bodies) >= 3
    for body in bodies:
        assert mentions(body)["parse"] == []
        assert not mentions(body).get("replied_user")


@pytest.mark.parametrize("pings", [True, False])
async def test_the_asker_is_pinged_by_setting_and_once(pings: bool) -> None:
    async with simulated(settings_with(mention_author=pings)) as double:
        event = await double.say("hello")
        await double.adapter.post(event.target, whole("a"), "k.0")
        await double.adapter.post(event.target, whole("b", index=1), "k.1")
        posts = double.bodies("POST")

    assert [bool(mentions(body).get("replied_user")) for body in posts] == [pings, False]


async def test_a_post_carries_its_key_as_an_enforced_nonce() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        await double.adapter.post(event.target, whole("a"), "0123456789abcdef01234.0")
        (body,) = double.bodies("POST")

    assert body["nonce"] == "0123456789abcdef01234.0"
    assert body["enforce_nonce"] is True


async def test_an_answer_replies_to_its_question() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        await double.adapter.post(event.target, whole("a"), "k.0")
        own = double.channel.history()[-1]

    assert own.reference is not None
    assert str(own.reference.message_id) == event.id


async def test_an_answer_whose_question_is_gone_is_posted_all_the_same() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        await double.ann.delete(double.channel.history()[0])
        await double.adapter.post(event.target, whole("a"), "k.0")
        (body,) = double.bodies("POST")

    assert cast("Mapping[str, object]", body["message_reference"])["fail_if_not_exists"] is False


async def test_the_parts_of_an_answer_are_found_after_a_restart() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        other = await double.say("hello too")
        first = await double.adapter.post(event.target, whole("a"), "k.0")
        await double.adapter.post(other.target, whole("b"), "l.0")
        second = await double.adapter.post(event.target, whole("c", index=1), "k.1")
        restarted = DiscordAdapter(settings_with(), GuildServices(), discord.utils.utcnow)
        await double.env.restart_bot(restarted.client)

        assert await restarted.find_reply(event.target, "k.0") == first
        assert await restarted.find_reply(event.target, "k.1") == second
        assert await restarted.find_reply(event.target, "k.2") is None


async def test_the_stop_button_is_for_a_growing_answer_only() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        posted = await double.adapter.post(event.target, STREAMING, "k.0")
        growing = double.channel.history()[-1].components
        await double.adapter.edit(event.target, posted, whole("one two three"))

        assert len(growing) == 1
        assert double.channel.history()[-1].components == []


async def test_whoever_asked_can_stop_the_answer() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        await double.adapter.post(event.target, STREAMING, "k.0")
        await double.ann.click(double.channel.history()[-1], label="Stop")
        action = double.submitted[-1]

    assert isinstance(action, ActionInvoked)
    assert (action.action, action.message_id) == (Action.STOP, event.id)
    assert action.author.id == event.author.id
    assert action.conversation == event.conversation


async def test_what_the_core_says_to_a_press_is_shown_in_private_with_its_buttons() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        await double.adapter.post(event.target, STREAMING, "k.0")
        double.services.told = replace(whole("Only <@1> can."), actions=(Action.GOOD,))
        result = await double.ben.click(double.channel.history()[-1], label="Stop")

        assert result.ephemeral
        assert result.response is not None
        assert result.response.content == "Only <@1> can."
        (row,) = result.response.components
        assert row["components"][0]["custom_id"].startswith(f"fireside:good:{event.id}:")


async def test_the_stop_button_works_after_a_restart() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        await double.adapter.post(event.target, STREAMING, "k.0")
        services = GuildServices()
        restarted = DiscordAdapter(settings_with(), services, discord.utils.utcnow)
        await double.env.restart_bot(restarted.client)
        await double.ann.click(double.channel.history()[-1], label="Stop")
        (action,) = services.submitted

    assert isinstance(action, ActionInvoked)
    assert action.message_id == event.id


FINISHED = replace(
    whole("one two three"), actions=(Action.RETRY, Action.GOOD, Action.BAD), is_last=True
)


async def finished(double: SimulatedDiscord) -> str:
    """A question whose answer is finished; the question's id."""
    event = await double.say("hello")
    await double.adapter.post(event.target, FINISHED, "k.0")
    return event.id


async def test_a_finished_answer_can_be_retried_by_who_asked() -> None:
    async with simulated() as double:
        asked = await finished(double)
        await double.ann.click(double.channel.history()[-1], label="Retry")
        action = double.submitted[-1]

    assert isinstance(action, ActionInvoked)
    assert (action.action, action.message_id) == (Action.RETRY, asked)


async def test_a_retry_reads_what_its_question_is_about_once_more() -> None:
    async with simulated() as double:
        soup = await double.ben.send(double.channel, "which soup?")
        await double.ann.send(double.channel, f"{double.me} say", reply_to=soup)
        await double.adapter.post(double.only.target, FINISHED, "k.0")
        await double.ann.click(double.channel.history()[-1], label="Retry")
        action = double.submitted[-1]

    assert isinstance(action, ActionInvoked)
    assert [(one.author.name, one.text) for one in action.quoted] == [("Ben", "which soup?")]


async def test_a_retry_of_the_first_question_in_a_thread_reads_the_thread_again() -> None:
    async with simulated() as double:
        thread = await thread_in(double)
        await double.ben.send(thread, "which soup?")
        await double.ann.send(thread, f"{double.me} say")
        await double.adapter.post(double.only.target, FINISHED, "k.0")
        double.services.threads.add(double.only.conversation)
        await double.ann.click(thread.history()[-1], label="Retry")
        action = double.submitted[-1]

    assert isinstance(action, ActionInvoked)
    assert [one.text for one in action.quoted][-1] == "which soup?"


async def test_a_retry_whose_question_is_gone_is_asked_without_what_it_quoted() -> None:
    async with simulated() as double:
        soup = await double.ben.send(double.channel, "which soup?")
        asked = await double.ann.send(double.channel, f"{double.me} say", reply_to=soup)
        await double.adapter.post(double.only.target, FINISHED, "k.0")
        await double.ann.delete(asked)
        await double.ann.click(double.channel.history()[-1], label="Retry")
        action = double.submitted[-1]

    assert isinstance(action, ActionInvoked)
    assert (action.action, action.quoted) == (Action.RETRY, ())


@pytest.mark.parametrize("action", [Action.GOOD, Action.BAD])
async def test_everybody_can_rate_an_answer_and_is_thanked_alone(action: Action) -> None:
    async with simulated() as double:
        asked = await finished(double)
        double.services.told = whole("Noted, thank you.")
        button = f"fireside:{action}:{asked}:{double.ann.id}"
        result = await double.ben.click(double.channel.history()[-1], custom_id=button)
        rated = double.submitted[-1]

        assert isinstance(rated, ActionInvoked)
        assert (rated.action, rated.message_id, rated.author.name) == (action, asked, "Ben")
        assert result.ephemeral


@pytest.mark.parametrize("wanted", [*Buttons])
async def test_it_has_the_buttons_that_are_set(wanted: Buttons) -> None:
    async with simulated(settings_with(buttons=wanted.value)) as double:
        assert double.adapter.capabilities.buttons is wanted


async def test_a_button_whose_press_cannot_be_stored_says_so() -> None:
    async with simulated() as double:
        await finished(double)
        double.services.refusals.append(StoreUnavailable("/srv/fireside.db is locked."))
        result = await double.ann.click(double.channel.history()[-1], label="Retry")

        assert result.response is not None
        assert result.response.content is not None
        assert result.response.content.startswith("I cannot reach my database just now.")


async def test_a_picture_is_attached_with_its_description() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        picture = Picture("board.png", b"\x89PNG", "a table of models")
        await double.adapter.post(event.target, replace(whole("the text"), picture=picture), "k.0")
        (file,) = double.channel.history()[-1].attachments

        assert file.filename == "board.png"
        assert await file.read() == b"\x89PNG"


async def test_a_very_long_answer_is_attached_and_goes_with_the_next_one() -> None:
    async with simulated(settings_with(max_messages=2)) as double:
        event = await double.say("hello")
        posted = await double.adapter.post(event.target, STREAMING, "k.0")
        long = replace(whole("one two three"), document="one two three and so on")
        await double.adapter.edit(event.target, posted, long)
        (file,) = double.channel.history()[-1].attachments
        text = await file.read()
        await double.adapter.edit(event.target, posted, STREAMING)
        while_it_grows = len(double.channel.history()[-1].attachments)
        await double.adapter.edit(event.target, posted, whole("short"))

        assert double.adapter.capabilities.max_parts == 2
        assert (file.filename, text) == ("answer.md", b"one two three and so on")
        assert while_it_grows == 1
        assert double.channel.history()[-1].attachments == []


async def test_a_very_long_answer_to_a_command_is_attached_too() -> None:
    async with simulated(settings_with(max_messages=2)) as double:
        command = await double.command("ask", {"question": "why"})
        long = replace(whole("one"), document="one two")
        await double.adapter.post(command.target, long, "c.0")
        (file,) = double.channel.history()[-1].attachments

        assert await file.read() == b"one two"


async def test_an_edit_that_will_change_again_is_left_out_where_the_channel_is_busy() -> None:
    async with simulated(settings_with(edits_per_window=2, edit_window_s=1000)) as double:
        event = await double.say("hello")
        posted = await double.adapter.post(event.target, ReplyView("one"), "k.0")
        await double.adapter.edit(event.target, posted, ReplyView("one two"))
        await double.adapter.edit(event.target, posted, whole("one two three"))

        assert double.shown() == "one two three"
        assert len(double.bodies("PATCH")) == 1


async def test_a_command_is_answered_in_its_deferred_response() -> None:
    async with simulated() as double:
        result = await double.ann.slash(double.channel, "ask", question="why?")
        assert result.deferred
        command = cast(CommandInvoked, double.submitted[-1])
        first = await double.adapter.post(command.target, STREAMING, "k.0")
        await double.adapter.edit(command.target, first, whole("one two three"))
        await double.adapter.post(command.target, whole("and four", index=1), "k.1")

        assert not result.ephemeral
        assert result.response is not None
        assert str(result.response.id) == first
        assert result.response.content == "one two three"
        assert [one.content for one in result.followups] == ["and four"]


async def test_a_private_command_is_answered_where_only_its_caller_sees_it() -> None:
    async with simulated() as double:
        result = await double.ann.slash(double.channel, "help")
        command = cast(CommandInvoked, double.submitted[-1])
        await double.adapter.post(command.target, whole("all", is_private=True), "k.0")

        assert result.ephemeral
        assert result.response is not None
        assert result.response.content == "all"


async def test_an_error_of_a_public_command_is_for_its_caller_alone() -> None:
    async with simulated() as double:
        result = await double.ann.slash(double.channel, "ask", question="why?")
        command = cast(CommandInvoked, double.submitted[-1])
        await double.adapter.post(command.target, whole("no", is_private=True), "k.0")

        assert result.response is None
        assert [(one.content, one.ephemeral) for one in result.followups] == [("no", True)]


async def test_an_answer_that_outlives_the_token_falls_back_to_a_message() -> None:
    async with simulated() as double:
        command = await double.command("ask", {"question": "why?"})
        await double.env.advance_time(15 * 60)
        await double.adapter.post(command.target, whole("late"), "k.0")

        last = double.channel.history()[-1]
        assert last.content == "late"
        assert any(body.get("nonce") == "k.0" for body in double.bodies("POST"))


async def test_a_token_that_ends_early_falls_back_to_a_message_too() -> None:
    async with simulated() as double:
        command = await double.command("ask", {"question": "why?"})
        double.env.inject_error("PATCH", "/webhooks/*", status=404, code=10015)
        await double.adapter.post(command.target, whole("early"), "k.0")

        assert double.channel.history()[-1].content == "early"
        assert any(body.get("nonce") == "k.0" for body in double.bodies("POST"))


async def test_a_growing_answer_is_edited_to_its_end_after_the_token_ended() -> None:
    async with simulated() as double:
        command = await double.command("ask", {"question": "why?"})
        posted = await double.adapter.post(command.target, STREAMING, "k.0")
        await double.env.advance_time(15 * 60)
        await double.adapter.edit(command.target, posted, whole("one two three"))

        assert double.shown() == "one two three"


async def test_a_late_private_answer_is_not_shown_to_the_channel() -> None:
    async with simulated() as double:
        command = await double.command("help", {})
        await double.env.advance_time(15 * 60)
        with pytest.raises(TargetExpired):
            await double.adapter.post(command.target, whole("all", is_private=True), "k.0")

        assert double.bodies("POST") == []


async def test_the_response_of_a_command_is_found_once_it_was_answered() -> None:
    async with simulated() as double:
        command = await double.command("ask", {"question": "why?"})
        assert await double.adapter.find_reply(command.target, "k.0") is None
        posted = await double.adapter.post(command.target, whole("a"), "other.0")

        assert await double.adapter.find_reply(command.target, "k.0") == posted


async def test_a_target_survives_being_kept_as_text() -> None:
    handle = Handle(1, 2, 3, is_message=False, token="t", original_id=4)
    now = discord.utils.utcnow()
    target = handle.target(now)

    assert target.expires_at is not None
    assert target.fallback is not None
    assert 'token":"t' not in target.fallback


async def test_a_message_that_was_deleted_cannot_be_edited() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        with pytest.raises(PlatformError) as caught:
            await double.adapter.edit(event.target, "123456789012345678", whole("a"))

        assert not isinstance(caught.value, PlatformUnavailable)


async def test_a_server_error_is_told_as_passing() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        double.env.inject_error("POST", "/channels/*/messages", status=500)
        with pytest.raises(PlatformUnavailable):
            await double.adapter.post(event.target, whole("a"), "k.0")


async def test_typing_shows_while_work_goes_on() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        async with double.adapter.working(event.target):
            await double.env.settle()
        typed = [one for one in double.env.http_requests if one.path.endswith("/typing")]

    assert len(typed) == 1


async def test_a_channel_that_refuses_typing_is_answered_all_the_same() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        double.env.inject_error("POST", "/channels/*/typing", status=403)
        async with double.adapter.working(event.target):
            await double.env.settle()
            await double.adapter.post(event.target, whole("a"), "k.0")

        assert double.shown() == "a"


async def test_nothing_is_posted_before_the_login() -> None:
    adapter = DiscordAdapter(settings_with(), GuildServices(), discord.utils.utcnow)
    target = Handle(1, 2, 3).target(discord.utils.utcnow())

    with pytest.raises(PlatformUnavailable, match="not yet connected"):
        await post_at_once(adapter, target)


async def post_at_once(adapter: DiscordAdapter, target: ReplyTarget) -> None:
    """Post without patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bot.platforms.online_gate.TIMEOUT_S", 0.0)
        await adapter.post(target, whole("a"), "k.0")
