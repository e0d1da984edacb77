"""Pictures in the thread of their answer, and texts as files, over the loopback Slack."""

from dataclasses import replace

import pytest

from bot.messages import Picture, ReplyView, TextFile
from tests.adapters.slack.doubles import started
from tests.slack_server.member import MENTION
from tests.slack_server.server import Fault
from tests.slack_server.workspace import CHANNEL, DIRECT

CARD = Picture("comparison.png", b"\x89PNG of a card", "The answers side by side")


def answer(picture: Picture | None = CARD) -> ReplyView:
    text = "the text"
    return ReplyView(text, stable_chars=len(text), is_complete=True, is_last=True, picture=picture)


async def test_a_picture_is_shared_in_the_thread_of_its_answer() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        await slack.adapter.post(event.target, answer(), "k.0")
        (upload,) = slack.server.methods.uploads.values()

    assert upload.data == CARD.png
    assert upload.name == "comparison.png"
    assert upload.shared_in == (CHANNEL, event.id.partition(":")[2])


async def test_a_later_picture_takes_the_place_of_the_one_before() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, answer(), "k.0")
        await slack.adapter.edit(event.target, ts, answer())
        again = [len(slack.server.called("files.getUploadURLExternal"))]
        later = replace(CARD, png=b"\x89PNG of another")
        await slack.adapter.edit(event.target, ts, answer(later))
        (upload,) = slack.server.methods.uploads.values()

    assert again == [1], "the same picture is not uploaded twice"
    assert upload.data == later.png


async def test_without_the_scope_the_answer_goes_without_its_picture() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        slack.server.faults.append(Fault("files.getUploadURLExternal", "missing_scope"))
        await slack.adapter.post(event.target, answer(), "k.0")

        assert "the text" in slack.shown()
        assert slack.server.methods.uploads == {}


async def test_what_is_for_one_person_alone_has_no_picture() -> None:
    async with started() as slack:
        event = await slack.command("help", {})
        private = replace(answer(), is_private=True)
        await slack.adapter.post(event.target, private, "k.0")

        assert slack.server.called("files.getUploadURLExternal") == []


DATA = TextFile("my-data.json", '{"message": "' + "é" * 10_000 + '"}')


def whole(text: str = "All of it.", file: TextFile = DATA) -> ReplyView:
    return ReplyView(
        text, stable_chars=len(text), is_complete=True, is_last=True, is_private=True, file=file
    )


async def test_a_private_file_goes_to_the_direct_messages_of_who_asked() -> None:
    """A file in a channel would be everybody's."""
    async with started() as slack:
        event = await slack.command("help", {})
        await slack.adapter.post(event.target, whole(), "k.0")
        (upload,) = slack.server.methods.uploads.values()
        (told,) = slack.server.responses

    assert upload.data == DATA.text.encode()
    assert upload.shared_in == (DIRECT, "None")
    assert told["response_type"] == "ephemeral"
    assert "All of it." in told["text"]
    assert "`my-data.json` is in our direct messages" in told["text"]


async def test_in_direct_messages_a_file_stands_beside_its_answer() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        ts = await slack.adapter.post(event.target, whole(), "k.0")
        await slack.adapter.edit(event.target, ts, whole())
        (upload,) = slack.server.methods.uploads.values()

        assert upload.shared_in is not None
        assert upload.shared_in[0] == DIRECT
        assert "in the file `my-data.json`" in slack.shown()
        assert len(slack.server.called("files.completeUploadExternal")) == 1


@pytest.mark.parametrize(
    "method", ["conversations.open", "files.getUploadURLExternal", "files.completeUploadExternal"]
)
async def test_a_file_that_slack_refuses_is_told_with_its_beginning(method: str) -> None:
    async with started() as slack:
        event = await slack.command("help", {})
        slack.server.faults.append(Fault(method, "missing_scope"))
        await slack.adapter.post(event.target, whole(), "k.0")
        (told,) = slack.server.responses

    assert "could not send you `my-data.json` as a file: the app lacks a scope" in told["text"]
    (block,) = told["blocks"]
    assert '{"message": "é' in block["text"]
    assert block["text"].count("```") == 2


async def test_a_passing_failure_of_an_upload_is_told_too() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        slack.server.faults.append(Fault("files.getUploadURLExternal", status=500))
        await slack.adapter.post(event.target, whole(), "k.0")

        assert "Slack did not take it; please try again later" in slack.shown()


async def test_a_long_answer_leaves_no_room_for_what_could_not_be_sent() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        slack.server.faults.append(Fault("files.getUploadURLExternal", "missing_scope"))
        await slack.adapter.post(event.target, whole("x" * 3500), "k.0")

        assert "could not send you" in slack.shown()
        assert "```" not in slack.shown()
