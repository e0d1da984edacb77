"""Reading what was said in a channel."""

from datetime import timedelta

import pytest

from bot.errors import MessageGone, PlatformError
from bot.messages import ConversationRef, MessageReader
from tests.adapters.discord.doubles import SimulatedDiscord, simulated
from tests.contract.adapter_contract import whole


def reader_of(double: SimulatedDiscord) -> MessageReader:
    reader = double.adapter.capabilities.reader
    assert reader is not None
    return reader


async def test_the_latest_messages_come_oldest_first_with_links() -> None:
    async with simulated() as double:
        for text in ("one", "two", "three"):
            await double.ben.send(double.channel, text)
        event = await double.say("hello")
        await double.adapter.post(event.target, whole("an answer"), "k.0")
        found = await reader_of(double).recent(event.conversation, 4)

    assert [one.text for one in found] == ["two", "three", "hello", "an answer"]
    assert [one.is_own for one in found] == [False, False, False, True]
    assert found[0].author.name == "Ben"
    place = event.conversation
    assert found[2].link == (
        f"https://discord.com/channels/{place.installation_id}/{place.channel_id}/{event.id}"
    )


async def test_a_beginning_is_a_message_or_a_time() -> None:
    async with simulated() as double:
        event = await double.say("hello")
        second = await double.ben.send(double.channel, "two")
        await double.ben.send(double.channel, "three")
        reader = reader_of(double)
        since = await reader.recent(event.conversation, 10, since_id=str(second.id))
        later = await reader.recent(event.conversation, 10, since=event.sent_at + timedelta(days=1))

    assert [one.text for one in since] == ["two", "three"]
    assert later == []


@pytest.mark.parametrize("word", ["hello", "c0general:1.2", "9" * 30])
async def test_a_beginning_that_is_no_message_is_refused(word: str) -> None:
    async with simulated() as double:
        event = await double.say("hello")
        with pytest.raises(MessageGone):
            await reader_of(double).recent(event.conversation, 10, since_id=word)


async def test_a_channel_that_is_not_there_is_a_failure_of_the_platform() -> None:
    async with simulated() as double:
        with pytest.raises(PlatformError):
            await reader_of(double).recent(ConversationRef("discord", "1", "77"), 10)
