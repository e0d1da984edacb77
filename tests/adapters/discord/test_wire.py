"""The whole bot over real sockets, against the loopback Discord: discord.py is unmodified."""

import asyncio
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from adapters.discord.adapter import DiscordAdapter
from bot.flow.queues import Limits
from bot.store.sql.store import SqlStore
from config.errors import ConfigurationError
from tests.adapters.discord.doubles import TOKEN
from tests.adapters.discord.process import bot, settings_for
from tests.doubles.discord_objects import BOT_ID, CHANNEL_ID, THREAD_ID
from tests.doubles.discord_server import DiscordServer, Fault, running
from tests.doubles.scripted import ScriptedEngine
from tests.doubles.slow_engine import SlowEngine
from tests.running_flow import composed
from tests.sockets import until

MENTION = f"<@{BOT_ID}>"


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """discord.py keeps addresses for the whole process: put them back."""
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    monkeypatch.setattr(discord.Asset, "BASE", discord.Asset.BASE)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", DiscordWebSocket.DEFAULT_GATEWAY)


async def test_it_logs_in_with_the_intents_that_its_application_has(tmp_path: Path) -> None:
    async with running() as server:
        async with bot(server.address, tmp_path, ScriptedEngine()) as adapter:
            assert adapter.account == f"discord:{BOT_ID}"
        server.application_flags = 0
        async with bot(server.address, tmp_path, ScriptedEngine()):
            pass
        content = discord.Intents(message_content=True).value

    first, second = (int(one["intents"]) for one in server.identified)
    assert first & content
    assert not second & content
    assert not first & discord.Intents(members=True, presences=True).value


async def test_commands_are_sent_once_for_two_starts(tmp_path: Path) -> None:
    async with running() as server:
        for _ in range(2):
            async with bot(server.address, tmp_path, ScriptedEngine()):
                pass

    assert len(server.calls("PUT", "/commands$")) == 1


async def test_a_wrong_token_is_a_line_for_the_owner(tmp_path: Path) -> None:
    async with running() as server:
        server.token = "another"
        store = await SqlStore.open(tmp_path)
        _, services = composed(store, ScriptedEngine(), lambda: datetime.now(UTC), Limits())
        adapter = DiscordAdapter(settings_for(server.address), services, lambda: datetime.now(UTC))
        with pytest.raises(ConfigurationError, match="does not accept this token") as caught:
            await adapter.run()
        await store.close()

    assert TOKEN not in str(caught.value)


async def test_a_discord_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    pauses: list[float] = []

    async def no_pause(seconds: float) -> None:
        pauses.append(seconds)

    async with running() as server:
        paths = ("/users/@me$", "/oauth2/applications/@me$", "/gateway/bot$")
        server.faults += [Fault("GET", path, 503) for path in paths]
        store = await SqlStore.open(tmp_path)
        _, services = composed(store, ScriptedEngine(), lambda: datetime.now(UTC), Limits())
        settings = settings_for(server.address)
        adapter = DiscordAdapter(settings, services, lambda: datetime.now(UTC), no_pause)
        serving = asyncio.create_task(adapter.run())
        await until(lambda: server.has_bot)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await store.close()

    assert pauses == [1.0, 5.0, 15.0]


async def test_a_missing_intent_is_a_line_for_the_owner(tmp_path: Path) -> None:
    async with running() as server:
        server.close_code_at_identify = 4014
        store = await SqlStore.open(tmp_path)
        _, services = composed(store, ScriptedEngine(), lambda: datetime.now(UTC), Limits())
        adapter = DiscordAdapter(
            settings_for(server.address, message_content=True), services, lambda: datetime.now(UTC)
        )
        with pytest.raises(ConfigurationError, match="Message Content intent"):
            await adapter.run()
        await store.close()


async def test_a_mention_gets_an_answer_that_streams_by_edits_into_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.discord.adapter.EDIT_INTERVAL_S", 0.01)
    engine = SlowEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        await server.say(f"{MENTION} hello")
        for number in range(1, 5):
            engine.permits.release()
            await until(lambda seen=f"word {number}": any(seen in one for one in server.answers()))
        engine.end()
        await until(lambda: server.answers()[0].endswith("end"))
        await until(lambda: "Retry" in str(server.calls("PATCH", "/messages/")[-1].body))
        assert "Stop" not in str(server.calls("PATCH", "/messages/")[-1].body)

        assert len(server.answers()) == 1
        assert len(server.calls("POST", "/messages$")) == 1
        assert len(server.calls("PATCH", "/messages/")) >= 4
        assert server.calls("POST", "/typing$")
        for call in [*server.calls("POST", "/messages$"), *server.calls("PATCH", "/messages/")]:
            assert call.body["allowed_mentions"]["parse"] == []


async def test_a_post_that_is_refused_with_429_comes_once_and_later(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        slow = {"message": "slow", "retry_after": 0.05, "global": False}
        server.faults.append(Fault("POST", "/messages$", 429, slow))
        await server.say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])

        first, second = server.calls("POST", "/messages$")
        assert second.at - first.at >= 0.05


async def test_a_client_librarys_own_retry_does_not_post_twice_when_only_the_answer_was_lost(
    tmp_path: Path,
) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        server.faults.append(Fault("POST", "/messages$", 502, is_after=True))
        await server.say(f"{MENTION} hello")
        await until(lambda: len(server.calls("POST", "/messages$")) == 2)
        await until(lambda: server.answers() == ["You said: hello"])

        nonces = {call.body["nonce"] for call in server.calls("POST", "/messages$")}
        assert len(nonces) == 1


async def test_a_post_whose_answer_was_lost_is_shown_once_and_with_its_newest_text(
    tmp_path: Path,
) -> None:
    nothing: list[object] = []
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        server.faults.append(Fault("POST", "/messages$", 503, is_after=True))
        server.faults.append(Fault("GET", "/messages$", 200, nothing))
        await server.say(f"{MENTION} hello")
        await until(lambda: len(server.calls("POST", "/messages$")) == 2)
        await until(lambda: server.answers() == ["You said: hello"])

    nonces = {call.body["nonce"] for call in server.calls("POST", "/messages$")}
    assert len(nonces) == 1


async def test_a_post_whose_answer_was_lost_is_found_by_what_it_replies_to(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        server.faults.append(Fault("POST", "/messages$", 503, is_after=True))
        await server.say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])

    assert len(server.calls("POST", "/messages$")) == 1


async def test_a_resume_that_replays_a_mention_is_answered_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        server.repeats_at_resume = 10
        await server.say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])
        await server.drop()
        await until(lambda: server.resumed == 1)
        await server.say(f"{MENTION} again")
        await until(lambda: server.answers() == ["You said: hello", "You said: again"])

        assert len(engine.requests) == 2
        assert len(server.identified) == 1


async def test_what_is_said_while_it_is_disconnected_arrives_with_the_resume(
    tmp_path: Path,
) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await server.drop()
        await server.say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])

        assert server.resumed == 1


async def test_after_an_invalid_session_what_was_missed_is_found_and_answered_once(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine) as adapter:
        await server.say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["You said: hello"])
        adapter.client.before_identify_hook = at_once
        server.accepts_resume = False
        await server.say(f"{MENTION} missed", is_heard=False)
        await server.drop()
        await until(lambda: server.answers() == ["You said: hello", "You said: missed"])

        assert len(server.identified) == 2
        assert len(engine.requests) == 2


async def at_once(shard_id: int | None, *, initial: bool = False) -> None:
    """Identify without discord.py's pause of five seconds."""
    del shard_id, initial


async def test_a_back_fill_does_not_answer_one_message_24_times(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server:
        async with bot(server.address, tmp_path, engine):
            await server.say(f"{MENTION} hello")
            await until(lambda: server.answers() == ["You said: hello"])
        await server.say(f"{MENTION} missed", is_heard=False)
        for _ in range(3):
            async with bot(server.address, tmp_path, engine) as adapter:
                for _ in range(8):
                    await adapter.client.missed.catch_up()
                await until(lambda: server.answers() == ["You said: hello", "You said: missed"])

    assert len(engine.requests) == 2


async def test_an_answer_that_a_stopped_process_began_is_completed_in_the_same_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.discord.adapter.EDIT_INTERVAL_S", 0.01)
    engine = SlowEngine()
    async with running() as server:
        async with bot(server.address, tmp_path, engine):
            await server.say(f"{MENTION} hello")
            engine.permits.release()
            await until(lambda: len(server.answers()) == 1)
        async with bot(server.address, tmp_path, ScriptedEngine()):
            await until(lambda: server.answers() == ["You said: hello"])

    assert len(server.calls("POST", "/messages$")) == 1


async def test_a_process_killed_in_mid_stream_leaves_an_answer_that_the_next_one_completes(
    tmp_path: Path,
) -> None:
    async with running() as server:
        arguments = ["-m", "tests.adapters.discord.process", str(tmp_path), server.address]
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        await until(lambda: server.has_bot)
        await server.say(f"{MENTION} hello")
        await until(lambda: server.answers() == ["word 1 "])
        process.kill()
        await process.wait()
        async with bot(server.address, tmp_path, ScriptedEngine()):
            await until(lambda: server.answers() == ["You said: hello"])

    assert len(server.calls("POST", "/messages$")) == 1


async def test_participation_in_a_thread_is_not_forgotten_after_a_restart(tmp_path: Path) -> None:
    async with running() as server:
        async with bot(server.address, tmp_path, ScriptedEngine()):
            await server.say(f"{MENTION} come in", channel_id=THREAD_ID)
            await until(lambda: server.answers(THREAD_ID) == ["You said: come in"])
        async with bot(server.address, tmp_path, ScriptedEngine()):
            await server.say("go on", channel_id=THREAD_ID)
            await until(lambda: "You said: go on" in server.answers(THREAD_ID))
            assert server.answers(THREAD_ID) == ["You said: come in", "You said: go on"]


async def test_context_is_not_mixed_across_threads(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        await server.say(f"{MENTION} in the channel")
        await until(lambda: server.answers() == ["You said: in the channel"])
        await server.say(f"{MENTION} in the thread", channel_id=THREAD_ID)
        await until(lambda: server.answers(THREAD_ID) == ["You said: in the thread"])

    (_, later) = engine.requests
    assert "in the channel" not in str(later.turns)


async def test_concurrent_mentions_do_not_vanish_and_are_served_at_once_within_the_limit(
    tmp_path: Path,
) -> None:
    engine = SlowEngine()
    names = [f"m{number}" for number in range(10)]
    async with running() as server:
        server.writes_per_window, server.window_s = 5, 0.5
        async with bot(server.address, tmp_path, engine, edits_per_window=5, edit_window_s=0.55):
            await asyncio.gather(*(server.say(f"{MENTION} hello", name) for name in names))
            await until(lambda: engine.asked == 10)
            engine.end()
            await until(lambda: sum(one.endswith("end") for one in server.answers()) == 10)

        assert len(server.answers()) == 10
        assert server.refused_429 == 0


async def test_fifty_conversations_at_once_keep_the_pace_of_every_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.discord.adapter.EDIT_INTERVAL_S", 0.02)
    engine = SlowEngine()
    channels = [CHANNEL_ID] * 10 + [str(int(CHANNEL_ID) + 100 + number) for number in range(40)]
    async with running() as server:
        server.writes_per_window, server.window_s = 5, 0.5
        limits: dict[str, Any] = {"edits_per_window": 5, "edit_window_s": 0.55}
        async with bot(server.address, tmp_path, engine, **limits):
            for number, channel in enumerate(channels):
                await server.say(f"{MENTION} hello", f"m{number}", channel)
            await until(lambda: engine.asked == 50)
            for _ in range(300):
                engine.permits.release()
                await asyncio.sleep(0)
            engine.end()
            await until(lambda: all(is_whole(server, channel) for channel in channels))

        assert len(server.answers(CHANNEL_ID)) == 10
        assert server.refused_429 == 0


def is_whole(server: DiscordServer, channel_id: str) -> bool:
    """Whether every answer in a channel has its end."""
    answers = server.answers(channel_id)
    return bool(answers) and all(one.endswith("end") for one in answers)


async def test_a_slash_command_is_acknowledged_while_the_model_is_still_silent(
    tmp_path: Path,
) -> None:
    engine = SlowEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        await server.command("ask", {"question": "why?"})
        await until(lambda: engine.asked == 1)
        (callback,) = server.calls("POST", "/callback$")
        assert callback.body["type"] == 5
        engine.end()
        await until(lambda: server.answers()[0].endswith("end"))

        assert len(server.answers()) == 1
        assert server.calls("POST", "/messages$") == []


async def test_a_replayed_command_is_answered_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with running() as server, bot(server.address, tmp_path, engine):
        await server.command("ask", {"question": "why?"})
        answer = "> \u2060why?\n\nYou said: why?"
        await until(lambda: server.answers() == [answer])
        server.repeats_at_resume = 10
        server.faults.append(
            Fault("POST", "/callback$", 400, {"code": 40060, "message": "acknowledged"})
        )
        await server.drop()
        await until(lambda: server.resumed == 1)
        await server.say(f"{MENTION} later")
        await until(lambda: server.answers() == [answer, "You said: later"])

        assert len(engine.requests) == 2


async def test_no_text_of_a_message_is_in_a_log_at_any_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("discord").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG):
        async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
            await server.say(f"{MENTION} something-private")
            await until(lambda: server.answers() == ["You said: something-private"])

    logging.getLogger("discord").setLevel(logging.NOTSET)
    assert "intents:" in caplog.text
    assert "something-private" not in caplog.text
    assert TOKEN not in caplog.text


async def test_an_empty_mention_gets_a_short_friendly_help(tmp_path: Path) -> None:
    async with running() as server, bot(server.address, tmp_path, ScriptedEngine()):
        await server.say(MENTION)
        await until(lambda: len(server.answers()) == 1)

        assert "/help" in server.answers()[0]
