"""Pictures in the thread of their answer, over the loopback Slack."""

from dataclasses import replace

from bot.messages import Picture, ReplyView
from tests.adapters.slack.doubles import started
from tests.slack_server.member import MENTION
from tests.slack_server.server import Fault
from tests.slack_server.workspace import CHANNEL

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
