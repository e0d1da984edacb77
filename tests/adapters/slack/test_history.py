"""Reading what was said, live, over the loopback Slack; and markup as words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.slack.readable import Names, readable, without_own_mention
from bot.errors import MessageGone
from bot.messages import Action, ConversationRef, ReplyView
from tests.adapters.slack.doubles import LoopbackSlack, started
from tests.slack_server.workspace import CHANNEL, TEAM

HERE = ConversationRef("slack", TEAM, CHANNEL)


async def read(slack: LoopbackSlack, where: ConversationRef, limit: int, **more: Any) -> list[str]:
    """What the commands get to read."""
    reader = slack.adapter.capabilities.reader
    assert reader is not None
    return [one.text for one in await reader.recent(where, limit, **more)]


async def test_the_latest_messages_are_read_in_order_with_who_said_them() -> None:
    async with started() as slack:
        for number in range(5):
            await slack.ben.say(f"message {number}", is_heard=False)
        reader = slack.adapter.capabilities.reader
        assert reader is not None
        (first, last) = await reader.recent(HERE, 2)

        assert (first.text, last.text) == ("message 3", "message 4")
        assert last.author.name == "Ben"
        assert last.link is not None
        assert last.link.startswith("https://home.example.org/archives/C0GENERAL/p")
        assert "." not in last.link.rpartition("/")[2]


async def test_since_a_message_or_a_time() -> None:
    async with started() as slack:
        ts = [await slack.ben.say(f"message {number}", is_heard=False) for number in range(4)]
        assert await read(slack, HERE, 10, since_id=f"{CHANNEL}:{ts[2]}") == [
            "message 2",
            "message 3",
        ]
        later = datetime.now(UTC) + timedelta(minutes=1)
        assert await read(slack, HERE, 10, since=later) == []


@pytest.mark.parametrize("word", ["hello", "77", "C0GENERAL:soon"])
async def test_a_beginning_that_is_no_message_is_refused(word: str) -> None:
    async with started() as slack:
        await slack.ben.say("message", is_heard=False)
        with pytest.raises(MessageGone):
            await read(slack, HERE, 10, since_id=word)


async def test_a_thread_is_read_for_itself_and_signs_of_work_are_left_out() -> None:
    async with started() as slack:
        ts = await slack.ben.say("a topic", is_heard=False)
        await slack.ben.say("elsewhere", is_heard=False)
        await slack.ann.say("a reply", thread_ts=ts, is_heard=False)
        event = await slack.arrived(f"<@U0FIRESIDE> hello {ts}")
        placeholder: dict[str, Any] = {"event_type": "fireside_placeholder", "event_payload": {}}
        about = {"text": "_is thinking_", "bot_id": "B0FIRESIDE", "thread_ts": ts}
        slack.server.workspace.add(CHANNEL, {**about, "metadata": placeholder})
        view = ReplyView("mine", is_complete=True, actions=(Action.RETRY,))
        await slack.adapter.post(event.target, view, "k.0")

        where = ConversationRef("slack", TEAM, CHANNEL, ts)
        assert await read(slack, where, 10) == ["a topic", "a reply"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<@U1> and <@U2|ben>", "@Ann and @ben"),
        ("<@U3>", "@someone"),
        ("<#C1> <#C2|x> <#C9>", "#general #x #a channel"),
        ("<https://a.example/?a=1&amp;b=2>", "https://a.example/?a=1&b=2"),
        ("<https://a.example|a.example>", "https://a.example"),
        ("<tel:123|call>", "[call](tel:123)"),
        ("<mailto:a@b.example>", "a@b.example"),
        ("<!channel> <!subteam^S1>", "@channel @a group"),
        ("<!date^1|soon> <!unknown>", "soon unknown"),
        ("a &lt;b&gt; &amp;amp;", "a <b> &amp;"),
        ("`a &lt; b` *bold*", "`a < b` *bold*"),
    ],
)
def test_markup_as_words(text: str, expected: str) -> None:
    assert readable(text, Names({"U1": "Ann"}, {"C1": "general"})) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<@UB> hello", "hello"),
        ("<@UB>, hello", "hello"),
        ("<@UB|fireside>: hello <@UB>", "hello"),
        ("hello <@UB> there", "hello <@UB> there"),
        ("<@UX> <@UB> hello", "<@UX> <@UB> hello"),
        ("<@UB>", ""),
    ],
)
def test_the_bots_own_name_before_and_after_goes(text: str, expected: str) -> None:
    assert without_own_mention(text, "UB") == expected
