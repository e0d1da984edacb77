"""What is heard of what people say, over the loopback Slack."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.messages import (
    Addressed,
    ConversationRef,
    IncomingMessage,
    MessageDeleted,
    MessageEdited,
    Removed,
    ReplyView,
)
from tests.adapters.slack.doubles import LoopbackSlack, WorkspaceServices, started
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import Fault, SlackServer
from tests.slack_server.workspace import BOT_ID, BOT_USER, CHANNEL, DIRECT, TEAM
from tests.sockets import settled, until

PAYLOADS = Path(__file__).parents[2] / "payloads" / "slack"


def only(slack: LoopbackSlack) -> IncomingMessage:
    """The one message that was submitted, however often it arrived."""
    events = {one.id: one for one in slack.submitted if isinstance(one, IncomingMessage)}
    (event,) = events.values()
    return event


async def heard(slack: LoopbackSlack) -> None:
    """Until everything that was delivered is acknowledged."""
    for envelope in list(slack.server.envelopes):
        await asyncio.wait_for(envelope.answered.wait(), 5)


async def test_a_mention_begins_a_thread_of_its_own() -> None:
    async with started() as slack:
        ts = await slack.ann.say(f"{MENTION}, what is fire?")
        await heard(slack)

        event = only(slack)
        assert event.text == "what is fire?"
        assert event.addressed is Addressed.MENTION
        assert event.conversation == ConversationRef("slack", TEAM, CHANNEL, ts)
        assert event.author.name == "Ann"
        assert not event.author.can_manage


async def test_a_mention_is_answered_in_the_channel_by_setting() -> None:
    async with started(reply_in_thread=False) as slack:
        await slack.ann.say(f"hello {MENTION}")
        await heard(slack)

        assert only(slack).conversation.thread_id is None


async def test_what_is_not_for_the_bot_is_passed_over_and_acknowledged() -> None:
    async with started() as slack:
        await slack.ann.say("hello all")
        await heard(slack)

        assert slack.submitted == []


async def test_bots_are_not_answered_and_there_are_no_loops() -> None:
    async with started() as slack:
        message = {"type": "message", "channel": DIRECT, "channel_type": "im", "ts": "1.0"}
        for author in (
            {"user": BOT_USER, "bot_id": BOT_ID},
            {"user": "U0OTHER", "bot_id": "B0OTHER"},
            {"bot_id": "B0OTHER", "subtype": "bot_message"},
            {"user": "USLACKBOT"},
            {"user": "U0ANN", "subtype": "channel_join"},
            {"user": BOT_USER},
        ):
            event = slack.server.event({**message, **author, "text": f"{MENTION} hello"})
            await slack.server.deliver("events_api", event)
        await heard(slack)

        assert slack.submitted == []


async def test_a_member_who_is_an_app_is_not_answered() -> None:
    async with started() as slack:
        slack.server.workspace.users["U0BEN"]["is_bot"] = True
        await slack.ben.say("hello", DIRECT)
        await heard(slack)

        assert slack.submitted == []


async def test_markup_reaches_the_model_as_words() -> None:
    text = (
        f"{MENTION} ask <@U0BEN> in <#{CHANNEL}> or <#C9|random> about "
        "<https://a.example/x|this page>, <mailto:a@b.example|a@b.example> &amp; &lt;b&gt; "
        "<!here> <!subteam^S1|@team> <!date^1^{date}|Monday>"
    )
    async with started() as slack:
        await slack.ann.say(text)
        await heard(slack)

        assert only(slack).text == (
            "ask @Ben in #general or #random about [this page](https://a.example/x), a@b.example "
            "& <b> @here @team Monday"
        )


async def test_names_that_slack_does_not_tell_cost_no_message() -> None:
    async with started() as slack:
        slack.server.faults += [Fault("users.info", status=500)] * 8
        await slack.ann.say(f"{MENTION} hello <@U0BEN>")
        await heard(slack)

        assert only(slack).text == "hello @someone"
        assert only(slack).author.name == "someone"


async def test_names_are_asked_for_once() -> None:
    async with started() as slack:
        for _ in range(3):
            await slack.say("hello")

        assert len(slack.server.called("users.info")) == 1


@pytest.mark.parametrize(
    ("user", "given", "can_manage"),
    [
        ("U0ANN", {}, False),
        ("U0BEN", {}, True),
        ("U0ADMIN", {}, True),
        ("U0ADMIN", {"managers": ("creator",)}, False),
        ("U0BEN", {"managers": ("admin",)}, False),
        ("U0ANN", {"managers": ("everyone",)}, True),
        ("U0ANN", {"manager_ids": ("U0ANN",), "managers": ()}, True),
        ("U0ANN", {"manager_ids": ("S0MODS",)}, True),
        ("U0GUEST", {"manager_ids": ("S0MODS",), "guests": "answer"}, False),
    ],
)
async def test_who_may_switch_is_a_setting(
    user: str, given: Mapping[str, Any], can_manage: bool
) -> None:
    server = SlackServer()
    server.workspace.groups["S0MODS"] = ["U0ANN"]
    async with started(server=server, **given) as slack:
        await Member(slack.server, user).say(f"{MENTION} hello")
        await heard(slack)

        assert only(slack).author.can_manage is can_manage


async def test_in_their_direct_messages_everybody_manages() -> None:
    async with started() as slack:
        assert (await slack.say("hello")).author.can_manage


@pytest.mark.parametrize("user", ["U0GUEST", "U0STRANGER"])
async def test_guests_and_strangers_get_one_line_that_they_alone_see(user: str) -> None:
    async with started() as slack:
        member = Member(slack.server, user)
        await member.say(f"{MENTION} hello")
        await heard(slack)
        await member.say(f"{MENTION} hello again")
        await heard(slack)

        assert slack.submitted == []
        (told,) = slack.server.methods.ephemeral
        assert told["user"] == user
        assert "members of this workspace" in told["text"]


@pytest.mark.parametrize("given", [{"guests": "answer"}, {"guest_ids": ("U0GUEST",)}])
async def test_guests_who_are_let_in_are_answered(given: Mapping[str, Any]) -> None:
    async with started(**given) as slack:
        await Member(slack.server, "U0GUEST").say(f"{MENTION} hello")
        await heard(slack)

        assert only(slack).text == "hello"


async def test_a_stranger_cannot_use_commands() -> None:
    async with started() as slack:
        envelope = await Member(slack.server, "U0STRANGER").slash("/ask", "why?")
        await heard(slack)

        assert envelope.answer is not None
        assert "members of this workspace" in envelope.answer["text"]
        assert slack.submitted == []


async def test_the_installation_is_that_of_the_authorization_and_not_the_senders() -> None:
    async with started(guests="answer") as slack:
        stranger = Member(slack.server, "U0STRANGER")
        await stranger.say(f"{MENTION} hello", is_heard=False)
        (message,) = slack.server.workspace.messages[CHANNEL].values()
        event, _ = stranger.events(message, CHANNEL)
        await slack.server.deliver("events_api", slack.server.event(event, team=stranger.team))
        await heard(slack)

        assert only(slack).conversation.installation_id == TEAM


async def test_a_mention_in_a_thread_reads_the_thread_so_far() -> None:
    async with started() as slack:
        ts = await slack.ben.say("I like <@U0ANN> and trains")
        for number in range(30):
            await slack.ben.say(f"reply {number}", thread_ts=ts)
        await slack.ann.say(f"{MENTION} what is this about?", thread_ts=ts)
        await heard(slack)

        quoted = only(slack).quoted
        assert [one.text for one in quoted][-2:] == ["reply 28", "reply 29"]
        assert len(quoted) == 20
        assert quoted[0].author.name == "Ben"


async def test_its_own_answer_in_a_thread_is_read_without_the_question_before_it() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        view = ReplyView("> \u2060why?\n\nan answer", is_complete=True, is_last=True)
        await slack.adapter.post(event.target, view, "k.0")
        await slack.ann.say(f"{MENTION} and now?", thread_ts=event.conversation.thread_id)
        await heard(slack)
        later = slack.submitted[-1]

        assert isinstance(later, IncomingMessage)
        assert [one.text for one in later.quoted if one.is_own] == ["an answer"]


async def test_the_latest_messages_of_a_thread_are_read_and_the_wrong_end_is_not_dropped() -> None:
    async with started(max_quoted=3) as slack:
        ts = await slack.ben.say("the beginning")
        for number in range(4):
            await slack.ben.say(f"reply {number}", thread_ts=ts)
        await slack.ann.say(f"{MENTION} well?", thread_ts=ts)
        await heard(slack)

        assert [one.text for one in only(slack).quoted] == ["reply 1", "reply 2", "reply 3"]


async def test_a_thread_that_it_takes_part_in_is_not_read_again() -> None:
    services = WorkspaceServices()
    async with started(services) as slack:
        ts = await slack.ben.say("a topic")
        where = ConversationRef("slack", TEAM, CHANNEL, ts)
        services.takes_part_always = {where}
        await slack.ann.say(f"{MENTION} go on", thread_ts=ts)
        await heard(slack)

        assert only(slack).quoted == ()


async def test_a_thread_that_cannot_be_read_costs_no_message() -> None:
    async with started() as slack:
        ts = await slack.ben.say("a topic")
        slack.server.faults += [Fault("conversations.replies", status=500)] * 2
        await slack.ann.say(f"{MENTION} go on", thread_ts=ts)
        await heard(slack)

        assert only(slack).quoted == ()


async def test_every_message_of_a_channel_is_answered_by_setting() -> None:
    async with started(answer_all_channels=(CHANNEL,)) as slack:
        await slack.ann.say("hello")
        await heard(slack)

        assert only(slack).addressed is Addressed.CHANNEL


async def test_what_is_overheard_is_handed_over_and_read_before_a_mention() -> None:
    services = WorkspaceServices()
    services.channels[CHANNEL] = Addressed.OVERHEARD
    async with started(services) as slack:
        await slack.ben.say("trains are late")
        await heard(slack)
        overheard = only(slack)
        assert overheard.addressed is Addressed.OVERHEARD
        assert overheard.conversation.thread_id is None
        await slack.ann.say(f"{MENTION} what did Ben say?")
        await until(lambda: len(slack.submitted) >= 2)
        event = slack.submitted[1]

        assert isinstance(event, IncomingMessage)
        assert [one.text for one in event.quoted] == ["trains are late"]


async def test_an_edit_is_followed_and_an_unfurled_link_is_none() -> None:
    async with started() as slack:
        ts = await slack.ann.say("hello <https://a.example>", DIRECT)
        before = dict(slack.server.workspace.one(DIRECT, ts))
        await slack.ann.changed(DIRECT, before, before | {"attachments": [{"text": "a page"}]})
        await slack.ann.edit(DIRECT, ts, "hello Ben")
        await heard(slack)

        (edited,) = [one for one in slack.submitted if isinstance(one, MessageEdited)]
        assert (edited.id, edited.text) == (f"{DIRECT}:{ts}", "hello Ben")


async def test_a_deletion_is_followed_also_where_replies_keep_its_place() -> None:
    async with started() as slack:
        first = await slack.ann.say("hello", DIRECT)
        second = await slack.ann.say("again", DIRECT)
        await slack.ann.delete(DIRECT, first)
        before = dict(slack.server.workspace.one(DIRECT, second))
        tombstone = {"subtype": "tombstone", "ts": second, "text": "This message was deleted."}
        await slack.ann.changed(DIRECT, before, tombstone)
        await heard(slack)

        deleted = [one.id for one in slack.submitted if isinstance(one, MessageDeleted)]
        assert deleted == [f"{DIRECT}:{first}", f"{DIRECT}:{second}"]


async def test_the_answer_goes_with_its_question_by_setting() -> None:
    async with started(delete_withdrawn=True) as slack:
        from bot.messages import ReplyView

        event = await slack.arrived(f"{MENTION} hello")
        view = ReplyView("answer", is_complete=True, is_last=True)
        await slack.adapter.post(event.target, view, "k.0")
        await slack.ann.delete(CHANNEL, event.id.partition(":")[2])
        await heard(slack)

        assert slack.server.answers() == []


async def test_text_files_are_read_within_the_cap_and_from_slacks_host_only() -> None:
    async with started(max_attachment_bytes=100) as slack:
        base = slack.server.address
        slack.server.files = {"a.txt": b"the text", "liar.txt": b"x" * 101, "b.bin": b"\0\1"}
        files = [
            file("a.txt", f"{base}/files/a.txt", 8),
            file("large.txt", f"{base}/files/a.txt", 101),
            file("liar.txt", f"{base}/files/liar.txt", 8),
            file("elsewhere.txt", "http://evil.example/files/a.txt", 8),
        ]
        await slack.ann.say("read this", DIRECT, files=files)
        await heard(slack)

        read = {one.name: one.text for one in only(slack).attachments}
        assert read == {"a.txt": "the text", "large.txt": None, "liar.txt": None} | {
            "elsewhere.txt": None
        }
        assert len(slack.server.file_tokens) == 2


def file(name: str, url: str, size: int) -> dict[str, Any]:
    """A file as a message carries it."""
    return {"name": name, "mimetype": "text/plain", "size": size, "url_private_download": url}


@pytest.mark.parametrize(
    ("event", "is_removed"),
    [
        ({"type": "app_uninstalled"}, True),
        ({"type": "tokens_revoked", "tokens": {"bot": ["U0FIRESIDE"]}}, True),
        ({"type": "tokens_revoked", "tokens": {"oauth": ["U0ANN"]}}, False),
    ],
)
async def test_an_uninstalled_app_is_removed(event: dict[str, Any], is_removed: bool) -> None:
    async with started() as slack:
        await slack.server.deliver("events_api", slack.server.event(event))
        await heard(slack)

        assert slack.submitted == ([Removed("slack", TEAM)] if is_removed else [])


async def test_every_event_that_is_listened_to_has_a_recorded_payload_that_is_acknowledged() -> (
    None
):
    payloads = [json.loads(one.read_text()) for one in sorted(PAYLOADS.glob("event-*.json"))]
    async with started() as slack:
        kinds = {one["event"]["type"] for one in payloads}
        assert kinds == slack.adapter.client.events.keys()
        for payload in payloads:
            envelope = await slack.server.deliver("events_api", payload)
            await asyncio.wait_for(envelope.answered.wait(), 5)
        await settled()


async def test_a_command_in_the_menu_of_a_message_takes_its_text() -> None:
    async with started() as slack:
        ts = await slack.ben.say("hello &amp; goodbye")
        await slack.ann.choose("fireside:menu:translate", CHANNEL, ts)
        await slack.ann.choose("fireside:menu:summarize", CHANNEL, ts)
        await slack.ann.choose("fireside:menu:nothing", CHANNEL, ts)
        await heard(slack)
        await until(lambda: slack.server.responses != [])

        commands = [one for one in slack.submitted if not isinstance(one, IncomingMessage)]
        given = [(one.name, dict(one.arguments)) for one in commands]  # type: ignore[union-attr]
        assert given == [
            ("translate", {"text": "hello & goodbye"}),
            ("summarize", {"what": f"message:{CHANNEL}:{ts}"}),
        ]
        assert "no command" in slack.server.responses[0]["text"]
