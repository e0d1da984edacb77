"""What every adapter must do, whatever its platform: subclass `AdapterContract` and run it.

A subclass gives a fixture `platform`: an adapter that is already running, on a platform where a
test can play the member. Nothing here knows how a platform shows things, only what must be seen.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from bot.adapter import Adapter, Progress
from bot.errors import PlatformError
from bot.messages import CommandInvoked, IncomingMessage, ReplyView, TextFile
from tests.contract.recording_services import RecordingServices

DIFFICULT = "مرحبا بالعالم e\u0301 नमस्ते 日本語 👩\u200d👩\u200d👧"
"""Right to left, combining, wide and joined characters."""


class PlatformDouble(Protocol):
    """A running adapter and the member's side of its platform."""

    @property
    def adapter(self) -> Adapter:
        """The adapter under test."""
        ...

    @property
    def services(self) -> RecordingServices:
        """What it was given."""
        ...

    async def say(self, text: str) -> IncomingMessage:
        """A member says something to the bot; what the adapter submitted of it."""
        ...

    async def command(self, name: str, arguments: Mapping[str, str]) -> CommandInvoked:
        """A member uses a command; what the adapter submitted of it."""
        ...

    def shown(self) -> str:
        """Everything that a member can see now, without the platform's own decoration."""
        ...

    async def files(self) -> Mapping[str, str]:
        """The text files that members were sent, by their names."""
        ...


def growing(text: str, stable_chars: int = 0) -> ReplyView:
    """A message that is still being written."""
    return ReplyView(text, stable_chars=stable_chars)


def whole(text: str) -> ReplyView:
    """An answer in one message."""
    return ReplyView(text, stable_chars=len(text), is_complete=True, is_last=True)


class AdapterContract:
    """The contract of `bot.adapter.Adapter`."""

    async def test_its_capabilities_are_usable_and_constant(self, platform: PlatformDouble) -> None:
        capabilities = platform.adapter.capabilities

        assert capabilities.platform == capabilities.platform.lower() != ""
        assert capabilities.max_chars >= 100
        assert capabilities.edit_interval_s >= 0
        assert capabilities.length("") == 0 < capabilities.length("x")
        await platform.say("hello")
        assert platform.adapter.capabilities == capabilities

    async def test_its_account_is_its_platforms_and_constant(
        self, platform: PlatformDouble
    ) -> None:
        account = platform.adapter.account

        assert account.startswith(platform.adapter.capabilities.platform)
        await platform.say("hello")
        assert platform.adapter.account == account

    async def test_what_a_member_says_is_submitted_once(self, platform: PlatformDouble) -> None:
        event = await platform.say("how are *you*?")

        assert event.text == "how are *you*?"
        assert event.conversation.platform == platform.adapter.capabilities.platform
        assert event.author.name
        assert not event.author.is_bot
        assert event.sent_at.utcoffset() == timedelta(0)
        assert platform.services.submitted == [event]

    async def test_two_messages_have_ids_and_targets_of_their_own(
        self, platform: PlatformDouble
    ) -> None:
        first = await platform.say("one")
        await platform.adapter.post(first.target, whole("first answer"), "k1")
        second = await platform.say("one")

        assert first.id != second.id
        assert first.target != second.target
        assert first.conversation == second.conversation

    async def test_difficult_characters_arrive_and_are_shown_unharmed(
        self, platform: PlatformDouble
    ) -> None:
        event = await platform.say(DIFFICULT)
        await platform.adapter.post(event.target, whole(f"you said {DIFFICULT}"), "k1")

        assert event.text == DIFFICULT
        assert f"you said {DIFFICULT}" in platform.shown()

    async def test_a_command_is_submitted_with_its_arguments(
        self, platform: PlatformDouble
    ) -> None:
        arguments = {"name": "flan-t5-small", "scope": "channel"}
        event = await platform.command("model use", arguments)

        assert event.name == "model use"
        assert dict(event.arguments) == arguments

    async def test_a_growing_message_is_shown_whole_at_its_end(
        self, platform: PlatformDouble
    ) -> None:
        event = await platform.say("hello")
        adapter = platform.adapter
        identifier = await adapter.post(event.target, growing("one tw", 3), "k1")
        await adapter.edit(event.target, identifier, growing("one two thr", 7))
        await adapter.edit(event.target, identifier, whole("one two three"))

        assert platform.shown().count("one two three") == 1
        assert platform.shown().count("one") == 1

    async def test_what_is_provisional_can_still_change(self, platform: PlatformDouble) -> None:
        event = await platform.say("hello")
        adapter = platform.adapter
        identifier = await adapter.post(event.target, growing("one tomato", 3), "k1")
        await adapter.edit(event.target, identifier, whole("one potato"))

        assert "one potato" in platform.shown()
        assert "tomato" not in platform.shown()

    async def test_an_answer_in_several_messages_is_shown_in_order(
        self, platform: PlatformDouble
    ) -> None:
        event = await platform.say("hello")
        adapter = platform.adapter
        first = ReplyView("the beginning", stable_chars=13, is_complete=True)
        await adapter.post(event.target, first, "k1.0")
        last = ReplyView("the end", 1, stable_chars=7, is_complete=True, is_last=True)
        await adapter.post(event.target, last, "k1.1")

        assert "the end" in platform.shown().partition("the beginning")[2]

    async def test_a_long_answer_is_shown_to_its_last_word(self, platform: PlatformDouble) -> None:
        event = await platform.say("hello")
        count = min(platform.adapter.capabilities.max_chars, 4000) // 5
        text = " ".join(f"{number:04}" for number in range(count))
        await platform.adapter.post(event.target, whole(text), "k1")

        assert platform.shown().split()[-count:] == text.split()

    async def test_a_text_file_comes_whole_where_the_platform_has_files(
        self, platform: PlatformDouble
    ) -> None:
        event = await platform.say("hello")
        file = TextFile("my-data.json", '{"said": "' + "Ünïcode 日本語 " * 2000 + '"}')
        await platform.adapter.post(event.target, replace(whole("All of it:"), file=file), "k1")

        has_files = platform.adapter.capabilities.has_files
        assert "All of it:" in platform.shown()
        assert await platform.files() == ({file.name: file.text} if has_files else {})

    async def test_an_error_is_shown_as_an_answer(self, platform: PlatformDouble) -> None:
        event = await platform.say("hello")
        text = "That model is not here."
        view = ReplyView(text, 0, len(text), is_complete=True, is_last=True, is_error=True)
        await platform.adapter.post(event.target, view, "k1")

        assert text in platform.shown()

    async def test_a_reply_is_found_by_the_key_it_was_posted_with(
        self, platform: PlatformDouble
    ) -> None:
        event = await platform.say("hello")
        adapter = platform.adapter
        key = "0123456789abcdef01234.123"

        assert await adapter.find_reply(event.target, key) is None
        identifier = await adapter.post(event.target, whole("found"), key)
        assert await adapter.find_reply(event.target, key) == identifier
        assert await adapter.find_reply(event.target, "another") is None

    async def test_a_message_that_does_not_exist_cannot_be_edited(
        self, platform: PlatformDouble
    ) -> None:
        event = await platform.say("hello")

        with pytest.raises(PlatformError):
            await platform.adapter.edit(event.target, "no-such-message", whole("text"))

    async def test_a_growing_message_can_be_withdrawn(self, platform: PlatformDouble) -> None:
        event = await platform.say("hello")
        identifier = await platform.adapter.post(event.target, growing("a mistake"), "k1")
        await platform.adapter.edit(event.target, identifier, None)

        assert "a mistake" not in platform.shown()

    async def test_work_is_shown_for_as_long_as_the_block_lasts(
        self, platform: PlatformDouble
    ) -> None:
        event = await platform.say("hello")
        async with platform.adapter.working(event.target) as indicator:
            await indicator.update(Progress("Loading a model", 0.5))
            await indicator.update(Progress("Thinking"))
            await platform.adapter.post(event.target, growing("and the ans"), "k1")
            await indicator.update(Progress("Thinking"))

        assert "Thinking" not in platform.shown()

    async def test_an_error_passes_through_the_sign_of_work(self, platform: PlatformDouble) -> None:
        event = await platform.say("hello")

        with pytest.raises(LookupError, match="as it is"):
            async with platform.adapter.working(event.target):
                raise LookupError("as it is")
