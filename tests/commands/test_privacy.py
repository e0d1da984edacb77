"""/forget, /export and /privacy, through the whole flow, down to the bytes of the database."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path

from typing_extensions import override

from bot.commands.privacy import contacted as told_hosts
from bot.engine.base import EngineEvent, GenerationRequest, TextDelta
from bot.messages import Action, ActionInvoked, Author, ConversationRef, Removed
from bot.policy.retention import sweep
from bot.settings.scoped import ScopedSettings
from bot.settings.specs import DEFAULTS
from tests.commands.test_commands import MANAGER, OWNER, answer
from tests.doubles.scripted import BEN, CHANNEL, DIRECT, ScriptedEngine, command, question
from tests.running_flow import Clock, Flow, running_flow, until

WORDS = "the-garden-key"
ANN = Author("ann-4711", "Ann the Gardener")
THREAD = ConversationRef("scripted", "home", "general", "t1")
ANNS_DIRECT = ConversationRef("scripted", "dm", "dm-4711", is_direct=True)


class EndlessEngine(ScriptedEngine):
    """Begins an answer and does not end it."""

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        yield TextDelta("It begins ")
        await asyncio.Event().wait()


def traces(folder: Path, *words: str) -> list[str]:
    """Which of the words are in the database's files."""
    files = [path.read_bytes() for path in folder.glob("fireside.db*")]
    return [word for word in words if any(word.encode() in file for file in files)]


async def ask(flow: Flow, text: str, author: Author = ANN, where: ConversationRef = CHANNEL) -> str:
    identifier = f"q{len(flow.platform.messages())}"
    await flow.submit(question(text, identifier, author, where))
    await flow.settle(identifier)
    return identifier


async def busy_scene(flow: Flow) -> None:
    """Ann asks, rates, votes, sets and commands in several places; so does Ben."""
    asked = await ask(flow, f"where is {WORDS}?")
    bens = await ask(flow, "I am ben", BEN)
    await ask(flow, f"{WORDS} again", where=THREAD)
    await ask(flow, f"{WORDS} in private", where=ANNS_DIRECT)
    for target in (asked, bens):
        await flow.submit(
            ActionInvoked(f"r{target}", CHANNEL, ANN, Action.GOOD, target),
        )
    target = f"c{len(flow.platform.messages())}"
    compared = await answer(flow, "compare", ANN, question=f"{WORDS}?", models="small,large")
    assert WORDS in compared
    await flow.submit(ActionInvoked("vote", CHANNEL, ANN, Action.VOTE_A, target))
    await answer(flow, "persona set", ANN, persona=f"Speak of {WORDS}.", scope="me")
    await answer(flow, "persona set", ANN, ANNS_DIRECT, persona=f"Still {WORDS}.")
    manager = Author(ANN.id, ANN.name, can_manage=True)
    await answer(flow, "model use", manager, name="large", scope="channel")


async def test_forget_me_leaves_not_a_byte_of_the_caller_and_keeps_the_others(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await busy_scene(flow)
        assert traces(tmp_path, WORDS, ANN.id, ANN.name) == [WORDS, ANN.id, ANN.name]
        said = await answer(flow, "forget me", ANN)
        assert "Looked again, and found: 0." in said
        assert "messages and commands" in said
        assert "ratings: 2" in said
        assert "votes: 1" in said
        assert flow.engine.forgotten
        assert "I am ben" in str(await flow.store.history.find("scripted:bot", "q1"))
        assert (await answer(flow, "settings show", BEN, key="model")).startswith("**model**")
    assert traces(tmp_path, WORDS, ANN.id, ANN.name) == []
    connection = sqlite3.connect(tmp_path / "fireside.db")
    connection.execute("VACUUM")
    connection.close()
    assert traces(tmp_path, WORDS, ANN.id, ANN.name) == []
    assert traces(tmp_path, "I am ben") == ["I am ben"]


async def test_what_comes_right_after_is_answered(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        events = [command("forget me", {}, f"f{number}", ANN) for number in range(4)]
        await flow.submit(*events, question("still there?", "q1", ANN))
        await flow.settle("q1", *(event.id for event in events))
        assert flow.platform.answer("q1") == "You said: still there?"


async def test_answers_that_run_meanwhile_leave_nothing_of_who_is_forgotten(
    tmp_path: Path,
) -> None:
    """Ann's own ends; Ben's goes on, and what its prompt held of Ann is dropped when it ends."""
    async with running_flow(tmp_path) as flow:
        await ask(flow, f"where is {WORDS}?")
        flow.engine.gate.clear()
        await flow.submit(question(f"{WORDS} again", "ann2", ANN, THREAD))
        await flow.submit(question("and what was that?", "ben1", BEN))
        await until(lambda: len(flow.engine.requests) == 3)
        assert any(WORDS in turn.text for turn in flow.engine.requests[-1].turns)
        said = await answer(flow, "forget me", ANN)
        assert "are not any more: 1." in said
        assert "found: 0." in said
        await until(lambda: flow.engine.left_early == 1)
        before = flow.engine.forgotten.count("scripted/home/general/")
        flow.engine.gate.set()
        await flow.settle("ben1")
        await until(lambda: flow.engine.forgotten.count("scripted/home/general/") > before)
        assert WORDS not in await answer(flow, "inspect", BEN)
        assert flow.platform.messages("ann2") == []
    assert traces(tmp_path, WORDS, ANN.id) == []


async def test_an_answer_that_was_begun_is_taken_back(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=EndlessEngine()) as flow:
        await flow.submit(question(WORDS, "ann1", ANN))
        await until(lambda: bool(flow.platform.messages("ann1")))
        await answer(flow, "forget me", ANN, THREAD)
        await until(lambda: flow.platform.messages("ann1") == [])
        assert "found: 0." in await answer(flow, "forget me", ANN, THREAD)


async def test_who_changed_a_setting_is_forgotten_and_the_setting_stays(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await busy_scene(flow)
        await answer(flow, "forget me", ANN)
        assert "`large`" in await answer(flow, "model why", BEN)
        assert "forgotten: `model`" in await answer(flow, "settings history", BEN)


async def test_forget_channel_is_for_who_manages_it_and_spares_other_places(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, f"{WORDS} here")
        await ask(flow, f"{WORDS} in a thread", BEN, THREAD)
        await ask(flow, "kept elsewhere", where=ANNS_DIRECT)
        await answer(flow, "persona set", MANAGER, persona=f"{WORDS}!")
        assert "Only people who manage this channel" in await answer(flow, "forget channel", ANN)
        said = await answer(flow, "forget channel", MANAGER)
        assert "found: 0." in said
        assert "settings: 1" in said
        assert set(flow.engine.forgotten) == {"scripted/home/general"}
        assert traces(tmp_path, WORDS, "kept elsewhere") == ["kept elsewhere"]


async def test_in_direct_messages_anybody_has_them_forgotten(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, WORDS, where=ANNS_DIRECT)
        assert "found: 0." in await answer(flow, "forget channel", ANN, ANNS_DIRECT)
    assert traces(tmp_path, WORDS) == []


async def test_export_gives_every_row_as_a_file_to_the_caller_alone(tmp_path: Path) -> None:
    async with running_flow(tmp_path, max_chars=100_000) as flow:
        await busy_scene(flow)
        await ask(flow, "bens secret", BEN)
        said = await answer(flow, "export me", ANN)
        exported = json.loads(said.split("```")[1])
        texts = [row["text"] for row in exported["message"]]
        assert f"where is {WORDS}?" in texts
        assert f"You said: where is {WORDS}?" in [row["text"] for row in exported["reply"]]
        assert {"rating", "vote", "setting", "setting_change"} <= set(exported)
        assert "bens secret" not in said


async def test_privacy_counts_what_is_stored_and_tells_where_it_goes(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "one")
        said = await answer(flow, "privacy", ANN)
        assert "- messages and commands: 2" in said
        assert "kept here for 30 days" in said
        assert "- `chat.example.org`" in said
        assert "Models come from the package index, asked by set-up" in said


async def test_what_stands_under_a_list_is_no_part_of_its_last_item(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        for name in ("privacy", "forget me", "forget channel"):
            lines = (await answer(flow, name, MANAGER)).splitlines()
            under = [
                line
                for before, line in pairwise(lines)
                if before.startswith("- ") and line[:2] != "- "
            ]
            assert under
            assert not any(under)


async def test_privacy_tells_of_the_lists_of_others_that_name_the_caller(tmp_path: Path) -> None:
    """The rule is the place's: it stays when Ann is forgotten, and she is told."""
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access deny", MANAGER, who=f"user:{ANN.id}")
        await answer(flow, "access deny", MANAGER, who=f"user:{ANN.id}9")
        said = await answer(flow, "privacy", ANN)
        assert "Your id stands in 4 entries of access lists" in said
        assert "Your id stands in 4 entries" in await answer(flow, "forget me", ANN)
        assert "may not use me here" in await answer(flow, "ask", ANN, question="may I?")
        assert "Your id" not in await answer(flow, "privacy", BEN)


def test_what_was_contacted_is_told_by_name_and_the_addresses_in_a_line() -> None:
    assert told_hosts([]) == ["- nowhere: this process has contacted no other host"]
    addresses = [f"192.0.2.{number}" for number in range(22)]
    name, connected, explained = told_hosts(["chat.example.org", *addresses])
    assert name == "- `chat.example.org`"
    assert "`192.0.2.19` and 2 more" in connected
    assert "192.0.2.20" not in connected
    assert "a proxy" in explained


def settings_of(flow: Flow) -> ScopedSettings:
    return ScopedSettings(flow.store.settings, DEFAULTS, Clock())


async def test_each_place_keeps_messages_as_long_as_it_says(tmp_path: Path) -> None:
    elsewhere = ConversationRef("scripted", "home", "other")
    async with running_flow(tmp_path) as flow:
        for author, where, scope, days in (
            (MANAGER, CHANNEL, "channel", "2"),
            (OWNER, DIRECT, "workspace", "90"),
        ):
            given = {"key": "retention_days", "value": days, "scope": scope}
            await flow.submit(command("settings set", given, f"c{days}", author, where))
            await flow.settle(f"c{days}")
        await ask(flow, "short here")
        await ask(flow, "short in a thread", where=THREAD)
        await ask(flow, "usual elsewhere", where=elsewhere)
        await ask(flow, "long in private", where=DIRECT)
        all_texts = ("short here", "short in a thread", "usual elsewhere", "long in private")
        for days, left in ((1, 4), (3, 2), (31, 1), (91, 0)):
            flow.clock.move(days=days)
            await sweep(flow.store.recovery, settings_of(flow), flow.clock(), 30, 7)
            flow.clock.move(days=-days)
            assert traces(tmp_path, *all_texts) == list(all_texts[4 - left :])


async def test_a_locked_retention_shuts_out_the_narrower_ones(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "settings set", MANAGER, key="retention_days", value="90")
        key = {"key": "retention_days", "scope": "workspace"}
        for name, given in (("set", {**key, "value": "2"}), ("lock", key)):
            await flow.submit(command(f"settings {name}", given, name, OWNER))
            await flow.settle(name)
        await ask(flow, WORDS)
        flow.clock.move(days=3)
        await sweep(flow.store.recovery, settings_of(flow), flow.clock(), 30, 7)
        assert traces(tmp_path, WORDS) == []


async def test_what_the_bot_was_removed_from_goes_after_the_grace(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, WORDS)
        await flow.submit(Removed("scripted", "home"))
        for days, left in ((6, [WORDS]), (8, [])):
            flow.clock.move(days=days)
            await sweep(flow.store.recovery, settings_of(flow), flow.clock(), 30, 7)
            flow.clock.move(days=-days)
            assert traces(tmp_path, WORDS) == left
