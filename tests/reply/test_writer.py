"""The reply writer paces what grows, guarantees what is final, and posts nothing twice."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from typing_extensions import override

from bot.adapter import Capabilities
from bot.concurrency import beside
from bot.errors import PlatformError, PlatformUnavailable, StoreUnavailable
from bot.messages import Action, Answerable, ReplyTarget, ReplyView
from bot.policy.word_list import WordList
from bot.reply.writer import ReplyWriter
from bot.store.ports.inbox import Claim, Inbox
from bot.store.ports.records import Answer, ReplyPart, StoredMessage
from tests.doubles.scripted import ACCOUNT, START, Platform, ScriptedAdapter, command, question


class RecordingInbox(Inbox):
    """An inbox that only remembers the parts it was given; it fails the first times."""

    def __init__(self, failures: int = 0) -> None:
        self.parts: list[ReplyPart] = []
        self.failures = failures

    @override
    async def save_part(self, claim: Claim, part: ReplyPart) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("locked by another program")
        self.parts.append(part)

    @override
    async def admit(self, account: str, event: object, received_at: datetime) -> None: ...
    @override
    async def hear(self, account: str, event: object, received_at: datetime) -> None: ...
    @override
    async def reopen(
        self, account: str, message_id: str, action_id: str, now: datetime
    ) -> None: ...
    @override
    async def claim(
        self, message_id: int, worker: str, now: datetime, lease_until: datetime
    ) -> None: ...
    @override
    async def renew(self, claim: Claim, lease_until: datetime) -> None: ...
    @override
    async def save_answer(self, claim: Claim, answer: Answer) -> None: ...
    @override
    async def finish(
        self, claim: Claim, state: object, now: datetime, replaces: int | None = None
    ) -> None: ...
    @override
    async def release(self, claim: Claim) -> None: ...


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "platform.jsonl", max_chars=40)


@pytest.fixture
def adapter(platform: Platform) -> ScriptedAdapter:
    return ScriptedAdapter(platform)


def claim(
    attempt: int = 1, parts: Sequence[ReplyPart] = (), event: Answerable | None = None
) -> Claim:
    message = StoredMessage(1, ACCOUNT, event or question("hello"), START)
    return Claim(message, 1, attempt, 1, "worker", attempt - 1, tuple(parts))


def writer(
    adapter: ScriptedAdapter, mine: Claim | None = None, inbox: RecordingInbox | None = None
) -> ReplyWriter:
    async def no_pause(seconds: float) -> None:
        assert seconds > 0

    return ReplyWriter(adapter, inbox or RecordingInbox(), mine or claim(), WordList(), no_pause)


class Stubborn(ScriptedAdapter):
    """Takes no change of its first message any more, for this reason."""

    refusal: PlatformError = PlatformUnavailable("500")

    @override
    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        if message_id == "m0" and (view is None or view.is_complete):
            raise self.refusal
        await super().edit(target, message_id, view)


async def stream(reply: ReplyWriter, text: str) -> None:
    async with beside(reply.show_while_fed(), is_joined=True):
        for word in text.split(" "):
            reply.feed(f"{word} ")
            for _ in range(4):
                await asyncio.sleep(0)
        reply.end_feed()


LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"


async def test_a_growing_answer_is_edited_in_place(
    adapter: ScriptedAdapter, platform: Platform
) -> None:
    reply = writer(adapter)
    await stream(reply, "one two three")
    await reply.finish(Answer("one two three", footer="starter model"))
    (message,) = platform.messages()
    assert message.text == "one two three"
    assert message.edits >= 2
    assert message.is_last
    assert message.footer == "starter model"


async def test_what_others_did_not_see_is_repeated_above_what_everybody_sees(
    adapter: ScriptedAdapter, platform: Platform
) -> None:
    hidden = replace(command("retry"), is_hidden=True)
    reply = writer(adapter, claim(event=hidden))
    reply.asked = "why?"
    await stream(reply, "one two three")
    assert platform.messages()[0].text.startswith("> \u2060why?\n\none")
    await reply.finish(Answer("one two three"))
    assert platform.messages()[0].text == "> \u2060why?\n\none two three"
    await reply.finish(Answer("one two three", is_private=True))
    assert platform.messages()[0].text == "one two three"


async def test_a_long_answer_goes_on_in_further_messages(
    adapter: ScriptedAdapter, platform: Platform
) -> None:
    reply = writer(adapter)
    await stream(reply, LONG)
    await reply.finish(Answer(LONG, footer="end"))
    messages = platform.messages()
    assert [message.index for message in messages] == [0, 1]
    assert " ".join(message.text for message in messages).split() == LONG.split()
    assert [message.is_last for message in messages] == [False, True]
    assert [message.footer for message in messages] == [None, "end"]


async def test_a_very_long_answer_comes_as_a_document_with_its_beginning(
    platform: Platform,
) -> None:
    adapter = ScriptedAdapter(platform, max_parts=1)
    reply = writer(adapter)
    await stream(reply, LONG)
    await reply.finish(Answer(LONG, notice="(Stopped.)"))
    (message,) = platform.messages()
    assert message.is_last
    assert LONG.startswith(message.text)
    assert message.document == f"{LONG}\n\n(Stopped.)"


async def test_an_answer_within_the_allowed_messages_is_no_document(platform: Platform) -> None:
    reply = writer(ScriptedAdapter(platform, max_parts=2))
    await reply.finish(Answer(LONG))
    assert [message.document for message in platform.messages()] == [None, None]


async def test_an_append_only_platform_never_has_to_take_back_a_word(platform: Platform) -> None:
    adapter = ScriptedAdapter(platform, is_append_only=True)
    shown: list[str] = []

    class Spy(ScriptedAdapter):
        @override
        async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
            assert view is not None
            shown.append(view.text[: view.stable_chars])
            await super().edit(target, message_id, view)

    adapter = Spy(platform, is_append_only=True)
    reply = writer(adapter)
    await stream(reply, "one two three four")
    await reply.finish(Answer("one two three four"))
    assert len(shown) >= 2
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))


async def test_the_final_text_arrives_when_the_platform_was_away(
    adapter: ScriptedAdapter, platform: Platform
) -> None:
    adapter.failures = [PlatformUnavailable("away")] * 5
    reply = writer(adapter)
    await stream(reply, "one two")
    await reply.finish(Answer("one two"))
    assert [message.text for message in platform.messages()] == ["one two"]


async def test_pauses_between_tries_double_up_to_a_minute(adapter: ScriptedAdapter) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    adapter.failures = [PlatformUnavailable("away")] * 8
    await ReplyWriter(adapter, RecordingInbox(), claim(), WordList(), pause).finish(Answer("one"))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_post_whose_answer_was_lost_is_found_and_not_repeated(platform: Platform) -> None:
    class Deaf(ScriptedAdapter):
        @override
        async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
            message_id = await super().post(target, view, key)
            if len(self.platform.messages()) == 1:
                raise PlatformUnavailable("the answer was lost")
            return message_id

    await writer(Deaf(platform)).finish(Answer("one two"))
    assert [message.text for message in platform.messages()] == ["one two"]


async def test_what_is_refused_as_it_is_arrives_plainly(
    adapter: ScriptedAdapter, platform: Platform
) -> None:
    adapter.failures = [PlatformError("invalid_blocks")]
    await writer(adapter).finish(Answer("one", footer="small", actions=(Action.RETRY,)))
    (message,) = platform.messages()
    assert (message.text, message.footer, message.actions) == ("one", None, [])


@pytest.mark.parametrize("refusal", [PlatformUnavailable("500"), PlatformError("refused")])
async def test_a_message_that_cannot_be_changed_any_more_is_posted_as_a_new_one(
    platform: Platform, refusal: PlatformError
) -> None:
    adapter = Stubborn(platform)
    adapter.refusal = refusal
    reply = writer(adapter)
    await stream(reply, LONG)
    await reply.finish(Answer(LONG))

    stuck, *others = platform.messages()
    assert stuck.id == "m0"
    assert [message.index for message in others] == [0, 1]
    assert " ".join(message.text for message in others) == LONG


async def test_a_replacement_whose_answer_was_lost_leaves_one_message(platform: Platform) -> None:
    class Moody(ScriptedAdapter):
        edits_away = 3
        posts_lost = 1

        @override
        async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
            posted = await super().post(target, view, key)
            if view.is_complete and self.posts_lost:
                self.posts_lost -= 1
                raise PlatformUnavailable("lost")
            return posted

        @override
        async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
            if view is not None and view.is_complete and self.edits_away:
                self.edits_away -= 1
                raise PlatformUnavailable("away")
            await super().edit(target, message_id, view)

    reply = writer(Moody(platform))
    await stream(reply, "one two")
    await reply.finish(Answer("one two"))

    assert [message.text for message in platform.messages()] == ["one two"]


async def test_a_replacement_that_the_store_did_not_take_leaves_one_message(
    platform: Platform,
) -> None:
    class Moody(ScriptedAdapter):
        edits_away = 3

        @override
        async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
            if view is not None and view.is_complete and self.edits_away:
                self.edits_away -= 1
                inbox.failures = 1
                raise PlatformUnavailable("away")
            await super().edit(target, message_id, view)

    inbox = RecordingInbox()
    reply = writer(Moody(platform), inbox=inbox)
    await stream(reply, "one two")
    await reply.finish(Answer("one two"))

    assert [message.text for message in platform.messages()] == ["one two"]


async def test_a_text_that_is_refused_however_it_comes_is_a_file(platform: Platform) -> None:
    class Textless(ScriptedAdapter):
        sent: ClassVar[list[ReplyView]] = []

        @property
        @override
        def capabilities(self) -> Capabilities:
            return replace(super().capabilities, has_files=True)

        @override
        async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
            if "one" in view.text:
                raise PlatformError("refused")
            self.sent.append(view)
            return await super().post(target, view, key)

    platform.max_chars = 400
    await writer(Textless(platform)).finish(Answer("one two"))
    (view,) = Textless.sent
    assert view.file is not None
    assert view.file.text == "one two"


async def test_a_store_that_is_locked_for_a_while_keeps_no_text_from_being_shown(
    adapter: ScriptedAdapter, platform: Platform
) -> None:
    inbox = RecordingInbox(failures=6)
    reply = writer(adapter, inbox=inbox)
    await stream(reply, LONG)
    await reply.finish(Answer(LONG))

    assert " ".join(message.text for message in platform.messages()) == LONG
    posted = [message.id for message in platform.messages()]
    assert [part.platform_id for part in inbox.parts] == posted


async def test_a_refusal_for_good_is_raised(adapter: ScriptedAdapter) -> None:
    adapter.failures = [PlatformError("forbidden")] * 9
    with pytest.raises(PlatformError, match="forbidden"):
        await writer(adapter).finish(Answer("one"))


async def test_a_second_attempt_completes_the_first_in_place(
    adapter: ScriptedAdapter, platform: Platform
) -> None:
    first = writer(adapter)
    await stream(first, LONG)
    assert len(platform.messages()) == 2
    await writer(adapter, claim(attempt=2)).finish(Answer("short now"))
    (message,) = platform.messages()
    assert message.text == "short now"
    assert message.is_last


async def test_the_first_attempt_asks_the_platform_for_no_earlier_reply(
    platform: Platform,
) -> None:
    class Blind(ScriptedAdapter):
        @override
        async def find_reply(self, target: ReplyTarget, key: str) -> str | None:
            raise AssertionError("a needless call")

    await writer(Blind(platform)).finish(Answer("one"))
    assert platform.answer("q1") == "one"
