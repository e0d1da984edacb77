"""How answers are posted, streamed, edited, found and removed, over the loopback Slack."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from bot.adapter import Progress
from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    TextDelta,
    Usage,
)
from bot.errors import MessageGone, PlatformError, PlatformUnavailable
from bot.messages import Action, Buttons, ReplyView
from tests.adapters.slack.doubles import connected, settings_with, started
from tests.adapters.slack.process import bot
from tests.doubles.scripted import ScriptedEngine
from tests.doubles.slow_engine import SlowEngine
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import Fault, SlackServer, running
from tests.slack_server.workspace import ARCHIVED, CHANNEL, DIRECT, visible
from tests.sockets import settled, until


def growing(text: str, stable: int | None = None) -> ReplyView:
    """A message that is still written."""
    return ReplyView(text, stable_chars=len(text) if stable is None else stable)


def whole(text: str, *actions: Action) -> ReplyView:
    """An answer in one message."""
    stable = len(text)
    return ReplyView(text, 0, stable, is_complete=True, is_last=True, actions=actions)


class LongEngine(ScriptedEngine):
    """Says a text of its own, in pieces."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        for start in range(0, len(self._text), 5000):
            yield TextDelta(self._text[start : start + 5000])
            await asyncio.sleep(0.02)
        yield Finished(FinishReason.STOP, Usage())


@pytest.mark.parametrize("size", [12_001, 40_001])
@pytest.mark.parametrize("streaming", ["native", "edits"])
@pytest.mark.parametrize("text_format", ["markdown", "mrkdwn"])
async def test_text_past_4000_is_neither_cut_nor_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, streaming: str, text_format: str
) -> None:
    monkeypatch.setattr("adapters.slack.adapter.EDIT_INTERVAL_S", 0.01)
    text = "".join(f"{number:07} " for number in range(size // 8 + 1))[:size]
    given: dict[str, Any] = {"streaming": streaming, "text_format": text_format}
    async with running() as server, bot(server.address, tmp_path, LongEngine(text), **given):
        await Member(server).say(f"{MENTION} tell me")
        await until(lambda: "fireside:do:retry" in str(server.own_messages()))

        assert " ".join(server.answers()).split() == text.split()
        assert len(server.answers()) > size // 4000
        sent = [*server.called("chat.update"), *server.called("chat.postMessage")]
        assert all(len(call.arguments["text"]) <= 4000 for call in sent)
        assert "msg_too_long" not in str(server.refusals)


async def test_a_stream_shows_just_what_is_stable() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("one tomato", 3), "k.0")
        assert slack.server.answers() == ["one"]
        await slack.adapter.edit(event.target, ts, growing("one potato", 10))
        assert slack.server.answers() == ["one potato"]
        await slack.adapter.edit(event.target, ts, whole("one potato and more"))

        assert slack.server.answers() == ["one potato and more"]
        (start,) = slack.server.called("chat.startStream")
        assert start.arguments["recipient_user_id"] == "U0ANN"
        assert start.arguments["recipient_team_id"] == "T0HOME"


async def test_a_stream_is_stopped_before_its_five_minutes_and_goes_on_by_edits() -> None:
    time = [0.0]
    async with started(clock=lambda: time[0]) as slack:
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("one"), "k.0")
        time[0] = slack.server.ahead_s = 241.0
        await slack.adapter.edit(event.target, ts, growing("one two"))
        assert not slack.server.workspace.is_streaming(ts)
        assert slack.server.answers() == ["one two"]
        await slack.adapter.edit(event.target, ts, whole("one two three"))

        assert slack.server.answers() == ["one two three"]
        assert len(slack.server.called("chat.stopStream")) == 1


async def test_a_stream_that_died_at_five_minutes_is_recovered_with_an_edit() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("one"), "k.0")
        slack.server.ahead_s = 301.0
        await slack.adapter.edit(event.target, ts, growing("one two"))
        assert slack.server.answers() == ["one two"]
        await slack.adapter.edit(event.target, ts, whole("one two three"))

        assert slack.server.answers() == ["one two three"]


async def test_a_429_in_the_middle_of_a_stream_loses_nothing() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("one"), "k.0")
        slack.server.faults.append(Fault("chat.appendStream", "ratelimited", 429, retry_after=1))
        await slack.adapter.edit(event.target, ts, growing("one two"))
        assert slack.server.answers() == ["one"]
        await slack.adapter.edit(event.target, ts, growing("one two three"))
        assert slack.server.answers() == ["one"]
        await slack.adapter.edit(event.target, ts, whole("one two three four"))

        assert slack.server.answers() == ["one two three four"]
        assert len(slack.server.called("chat.appendStream")) == 1


async def test_what_may_have_been_appended_is_not_appended_again() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("one"), "k.0")
        slack.server.faults.append(Fault("chat.appendStream", status=0, is_after=True))
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.edit(event.target, ts, growing("one two"))
        shown: list[str] = []
        for text in ("one two three", "one two three four"):
            await slack.adapter.edit(event.target, ts, growing(text))
            shown += slack.server.answers()
        await slack.adapter.edit(event.target, ts, whole("one two three four five"))

        assert shown == ["one two", "one two three four"]
        assert slack.server.answers() == ["one two three four five"]


async def test_every_retry_after_is_waited_out_and_the_text_comes_once() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        slack.server.faults.append(Fault("chat.postMessage", "ratelimited", 429, retry_after=1))
        await slack.adapter.post(event.target, whole("answer"), "k.0")

        first, second = slack.server.called("chat.postMessage")
        assert second.at - first.at >= 1.0
        assert slack.server.answers(DIRECT) == ["answer"]


async def test_a_slack_that_keeps_asking_for_patience_is_away() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        slack.server.faults += [Fault("chat.postMessage", "ratelimited", 429, retry_after=0)] * 4
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.post(event.target, whole("answer"), "k.0")


async def test_where_streams_are_not_to_be_had_an_answer_grows_by_edits() -> None:
    async with started() as slack:
        slack.server.methods.has_streams = False
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("one"), "k.0")
        await slack.adapter.edit(event.target, ts, growing("one two"))
        assert slack.server.answers() == ["one two"]
        await slack.adapter.post(event.target, growing("another"), "k.1")

        assert len(slack.server.called("chat.startStream")) == 1


async def test_the_budget_of_streams_is_not_waited_for() -> None:
    async with started(tier_2_per_minute=2) as slack:
        for number in range(3):
            event = await slack.arrived(f"{MENTION} hello")
            await slack.adapter.post(event.target, growing(f"answer {number}"), f"k{number}.0")

        assert len(slack.server.called("chat.startStream")) == 1
        assert len(slack.server.answers()) == 3


async def test_passing_edits_past_the_budget_are_left_out_and_the_last_one_comes() -> None:
    async with started(streaming="edits", tier_3_per_minute=10) as slack:
        slack.server.limits["chat.update"] = (2, 12.0)
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("0"), "k.0")
        for number in range(1, 20):
            await slack.adapter.edit(event.target, ts, growing(f"{number}"))
        await slack.adapter.edit(event.target, ts, whole("the end"))

        assert slack.server.answers() == ["the end"]
        assert slack.server.refused_429 == 0
        assert len(slack.server.called("chat.update")) == 2


async def test_no_global_variable_lets_a_stream_in_one_thread_hit_another() -> None:
    async with started() as slack:
        first = await slack.arrived(f"{MENTION} one")
        second = await slack.arrived(f"{MENTION} two")
        a = await slack.adapter.post(first.target, growing("first"), "a.0")
        b = await slack.adapter.post(second.target, growing("second"), "b.0")
        await slack.adapter.edit(first.target, a, growing("first and more"))
        await slack.adapter.edit(second.target, b, growing("second too"))

        assert sorted(slack.server.answers()) == ["first and more", "second too"]


async def test_a_post_whose_answer_was_lost_is_found_by_its_metadata() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        slack.server.faults.append(Fault("chat.postMessage", status=503, is_after=True))
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.post(event.target, whole("answer"), "key.0")
        (message,) = slack.server.own_messages(DIRECT)

        assert await slack.adapter.find_reply(event.target, "key.0") == message["ts"]
        assert await slack.adapter.find_reply(event.target, "key.1") is None


async def test_a_stream_whose_start_was_lost_is_found_by_its_button() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        other = await slack.arrived(f"{MENTION} hello")
        view = ReplyView("one", stable_chars=3, actions=(Action.STOP,))
        slack.server.faults.append(Fault("chat.startStream", status=503, is_after=True))
        with pytest.raises(PlatformUnavailable):
            await slack.adapter.post(event.target, view, "key.0")
        (message,) = slack.server.own_messages()

        assert await slack.adapter.find_reply(event.target, "key.0") == message["ts"]
        assert await slack.adapter.find_reply(other.target, "other.0") is None


async def test_an_answer_to_a_deleted_message_is_told_to_be_gone() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        ts = await slack.adapter.post(event.target, whole("answer"), "k.0")
        del slack.server.workspace.messages[DIRECT][ts]
        with pytest.raises(MessageGone):
            await slack.adapter.edit(event.target, ts, whole("answer anew"))


async def test_an_archived_channel_refuses_once_and_who_asked_is_told_directly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello", ARCHIVED)
        for key in ("a.0", "b.0"):
            with pytest.raises(PlatformError, match="the channel is archived"):
                await slack.adapter.post(event.target, whole("answer"), key)

        (told,) = slack.server.answers("U0ANN")
        assert told == f"I cannot answer in <#{ARCHIVED}>: the channel is archived."
        assert caplog.text.count("the channel is archived") == 1


async def test_a_missing_scope_is_told_to_the_owner_once_with_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with started() as slack:
        event = await slack.say("hello")
        slack.server.scopes = frozenset()
        for key in ("a.0", "b.0"):
            with pytest.raises(PlatformError, match="fireside slack manifest"):
                await slack.adapter.post(event.target, whole("answer"), key)

        assert caplog.text.count("chat.postMessage: Slack answered missing_scope") == 1


async def test_an_answer_unfurls_no_links_and_pings_nobody() -> None:
    text = "<!channel> <!here> <!everyone> <@U0BEN> <!subteam^S1> [x](!channel) &"
    async with started() as slack:
        event = await slack.say("hello")
        ts = await slack.adapter.post(event.target, whole(text), "k.0")
        await slack.adapter.edit(event.target, ts, whole(f"{text} again"))
        (call,) = slack.server.called("chat.postMessage")
        (update,) = slack.server.called("chat.update")

        assert call.arguments["unfurl_links"] is False
        assert call.arguments["unfurl_media"] is False
        for sent in (json.dumps(call.arguments), json.dumps(update.arguments)):
            for sequence in ("<!channel", "<!here", "<!everyone", "<@U0BEN", "<!subteam"):
                assert sequence not in sent
            assert "](!channel" not in sent.partition("blocks")[2]


async def test_a_stream_pings_nobody_either() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        ts = await slack.adapter.post(event.target, growing("see <!channel>"), "k.0")
        await slack.adapter.edit(event.target, ts, growing("see <!channel> and <@U0BEN>"))
        sent = json.dumps([call.arguments for call in slack.server.calls])

        assert "<!channel>" not in sent
        assert "<@U0BEN>" not in sent


async def test_the_status_says_that_it_thinks_until_the_answer_is_there() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        async with slack.adapter.working(event.target) as indicator:
            await until(lambda: slack.server.workspace.statuses != {})
            await indicator.update(Progress("Loading small", 0.5))
            await until(lambda: "Loading small (50%)…" in slack.server.workspace.statuses.values())
            await slack.adapter.post(event.target, growing("an answer"), "k.0")

        assert slack.server.workspace.statuses == {}
        assert slack.server.called("chat.postMessage") == []


async def test_a_status_is_renewed_before_slack_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.slack.indicator.RENEW_S", 0.02)
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        async with slack.adapter.working(event.target):
            await until(lambda: len(slack.server.methods.status_log) >= 3)

        assert len(set(map(str, slack.server.methods.status_log[:3]))) == 1


async def test_a_status_of_work_that_gave_no_answer_is_cleared() -> None:
    async with started() as slack:
        event = await slack.arrived(f"{MENTION} hello")
        async with slack.adapter.working(event.target):
            await until(lambda: slack.server.workspace.statuses != {})

        assert slack.server.workspace.statuses == {}


@pytest.mark.parametrize("channel", [DIRECT, CHANNEL])
async def test_without_a_status_line_the_answer_takes_the_place_of_a_placeholder(
    monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    monkeypatch.setattr("adapters.slack.indicator.PLACEHOLDER_AFTER_S", 0.01)
    async with started() as slack:
        slack.server.methods.has_status = False
        event = await slack.arrived(f"{MENTION} hello", channel)
        async with slack.adapter.working(event.target) as indicator:
            await until(lambda: slack.server.answers(channel) == ["_is thinking…_"])
            await indicator.update(Progress("Loading small"))
            await until(lambda: slack.server.answers(channel) == ["_Loading small…_"])
            await slack.adapter.post(event.target, growing("an ans"), "k.0")

        assert slack.server.answers(channel) == ["an ans"]
        assert len(slack.server.called("chat.postMessage")) == 1


async def test_a_placeholder_that_no_answer_took_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.slack.indicator.PLACEHOLDER_AFTER_S", 0.01)
    async with started() as slack:
        event = await slack.say("hello")
        async with slack.adapter.working(event.target):
            await until(lambda: slack.server.answers(DIRECT) != [])

        assert slack.server.answers(DIRECT) == []


async def test_a_placeholder_of_a_process_that_died_becomes_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.slack.indicator.PLACEHOLDER_AFTER_S", 0.01)
    async with started() as slack:
        event = await slack.say("hello")
        async with slack.adapter.working(event.target):
            await until(lambda: slack.server.answers(DIRECT) != [])
            (sign,) = slack.server.own_messages(DIRECT)
            async with connected(slack.services, slack.server) as later:
                assert await later.find_reply(event.target, "k.0") == sign["ts"]
                assert await later.find_reply(event.target, "k.1") is None


async def test_stop_retry_and_the_thumbs_work_after_a_restart(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server:
        ann = Member(server)
        async with bot(server.address, tmp_path, engine):
            await ann.say(f"{MENTION} hello")
            await until(lambda: "retry" in str(server.own_messages()))
            await settled()
        async with bot(server.address, tmp_path, engine):
            envelope = await ann.press("good ")
            await asyncio.wait_for(envelope.answered.wait(), 3)
            await ann.press("retry ")
            await until(lambda: len(engine.requests) == 2)
            await until(lambda: finished(server) == 2)
            await settled()
        assert len(server.own_messages()) == 1
        assert server.answers() == ["You said: hello"]


def finished(server: SlackServer) -> int:
    """How often an answer was shown whole: only then it can be asked for anew."""
    return sum("fireside:do:retry" in str(one.arguments) for one in server.called("chat.update"))


async def test_stop_ends_an_answer_while_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.slack.adapter.EDIT_INTERVAL_S", 0.01)
    engine = SlowEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        ann = Member(server)
        await ann.say(f"{MENTION} hello")
        engine.permits.release()
        engine.permits.release()
        await until(lambda: any("word 1" in one for one in server.answers()))
        await ann.press("stop ")
        await until(lambda: "Stopped" in str(server.answers()))

        assert "end" not in str(server.answers())


async def test_who_neither_asked_nor_manages_is_told_so_in_private(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        await Member(server).say(f"{MENTION} hello")
        await until(lambda: "retry" in str(server.own_messages()))
        await Member(server, "U0ADMIN").say("I am here too")
        await Member(server, "U0GUEST").press("retry ")
        await until(lambda: server.responses != [])

        assert server.responses[0]["response_type"] == "ephemeral"
        assert server.responses[0]["replace_original"] is False
        assert len(engine.requests) == 1


@pytest.mark.parametrize("wanted", [*Buttons])
async def test_it_has_the_buttons_that_are_set(wanted: Buttons) -> None:
    async with started(buttons=wanted.value) as slack:
        assert slack.adapter.capabilities.buttons is wanted


def test_its_settings_point_nowhere_else() -> None:
    settings = settings_with("http://127.0.0.1:1")
    assert settings.api_url.startswith("http://127.0.0.1")
    assert visible({"text": "x"}) == "x"


async def test_nothing_is_posted_before_it_is_online() -> None:
    async with started() as slack:
        event = await slack.say("hello")
        slack.adapter.client.is_online.clear()
        posting = asyncio.create_task(slack.adapter.post(event.target, whole("answer"), "k.0"))
        await settled(0.05)
        assert slack.server.answers(DIRECT) == []
        slack.adapter.client.is_online.set()
        await posting

        assert slack.server.answers(DIRECT) == ["answer"]


async def test_what_answers_nobody_is_posted_into_a_channel_that_is_named() -> None:
    async with started() as slack:
        target_in = slack.adapter.capabilities.target_in
        assert target_in is not None
        await slack.adapter.post(target_in(CHANNEL), whole("a report"), "k.0")

        assert slack.server.answers() == ["a report"]
        with pytest.raises(PlatformError, match="no channel of Slack"):
            target_in("general")
