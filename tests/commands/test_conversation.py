"""/stop, /retry, /continue, /undo, /ask and /persona, through the whole flow."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from typing_extensions import override

from bot.conversation import Role, Turn
from bot.engine.base import EngineEvent, Finished, FinishReason, GenerationRequest, TextDelta, Usage
from bot.messages import Author, ConversationRef
from bot.settings.personas import PERSONAS
from config.catalogue import Family
from tests.commands.test_commands import MANAGER, answer
from tests.doubles.scripted import ANN, BEN, CHANNEL, ScriptedEngine, command, question
from tests.running_flow import ENTRIES, Flow, entry, running_flow, until


class CutOffEngine(ScriptedEngine):
    """Stops after three words at a time, as at a length limit, while `is_short`."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = FinishReason.LENGTH

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        await self.gate.wait()
        yield TextDelta(f"part {len(self.requests)} of it")
        yield Finished(self.reason, Usage(tokens_per_s=20.0))


async def ask(flow: Flow, text: str, author: Author = ANN, where: ConversationRef = CHANNEL) -> str:
    identifier = f"q{len(flow.platform.messages())}"
    await flow.submit(question(text, identifier, author, where))
    await flow.settle(identifier)
    return identifier


def turns(flow: Flow) -> list[str]:
    """What the model was last given, without the persona."""
    spoken = flow.engine.requests[-1].turns
    return [turn.text for turn in spoken if turn.role is not Role.SYSTEM]


async def test_what_was_asked_by_command_is_part_of_the_conversation(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "ask", question="how old is the sun?")
        await ask(flow, "are you sure?")
        assert turns(flow) == [
            "how old is the sun?",
            "You said: how old is the sun?",
            "are you sure?",
        ]


async def test_stop_ends_the_own_answer_at_once_and_says_so(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        flow.engine.gate.clear()
        await flow.submit(question("first", "q1"), question("second", "q2"))
        await flow.submit(question("bens", "q3", BEN))
        await until(lambda: len(flow.engine.requests) == 2)
        await flow.submit(command("stop", identifier="s1"))
        await flow.settle("s1", "q1", "q2")
        assert flow.platform.answer("s1") == "I stop 2 answers."
        assert flow.platform.answer("q1") == "(Stopped.)"
        flow.engine.gate.set()
        await flow.settle("q3")
        assert flow.platform.answer("q3") == "You said: bens"


async def test_a_manager_stops_everybodys_answers_here(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        flow.engine.gate.clear()
        await flow.submit(question("anns", "q1"))
        await until(lambda: len(flow.engine.requests) == 1)
        await flow.submit(command("stop", identifier="s1", author=MANAGER))
        await flow.settle("s1", "q1")
        assert flow.platform.answer("s1") == "I stop that answer."


async def test_stop_with_nothing_to_stop_says_so(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert "nothing to stop" in await answer(flow, "stop")


async def test_retry_asks_once_more_and_the_new_answer_takes_the_place_of_the_old(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "one")
        await ask(flow, "two")
        await ask(flow, "bens", BEN)
        assert await answer(flow, "retry", model="large") == "You said: two"
        assert flow.engine.requests[-1].model == "large"
        assert turns(flow) == ["one", "You said: one", "two"]
        await ask(flow, "three")
        assert flow.engine.requests[-1].model == "small"
        assert turns(flow).count("Ann: two") == 1


async def test_a_retry_can_be_retried(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "one")
        await answer(flow, "retry")
        assert await answer(flow, "retry") == "You said: one"
        assert turns(flow) == ["one"]
        await ask(flow, "two")
        assert turns(flow) == ["one", "You said: one", "two"]


async def test_a_failed_retry_keeps_the_old_answer(tmp_path: Path) -> None:
    def fail(request: GenerationRequest) -> str:
        if request.model == "large":
            raise RuntimeError("no")
        return "fine"

    async with running_flow(tmp_path, engine=ScriptedEngine(fail)) as flow:
        await ask(flow, "one")
        assert "went wrong" in await answer(flow, "retry", model="large")
        await ask(flow, "two")
        assert turns(flow) == ["one", "fine", "two"]


async def test_retry_with_a_model_that_cannot_answer_says_why(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "one")
        assert "fireside models pull absent" in await answer(flow, "retry", model="absent")
        assert "no model" in await answer(flow, "retry", model="nothing")


@pytest.mark.parametrize("name", ["retry", "continue", "undo"])
async def test_without_a_question_there_is_nothing_to_steer(tmp_path: Path, name: str) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "bens", BEN)
        assert "asked me nothing here yet" in await answer(flow, name)
        await ask(flow, "anns")
        await answer(flow, "reset")
        assert "asked me nothing here yet" in await answer(flow, name)


async def test_continue_goes_on_where_the_answer_was_cut_off(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=CutOffEngine()) as flow:
        await ask(flow, "tell")
        await ask(flow, "bens", BEN)
        said = await answer(flow, "continue")
        assert said.startswith("part 3 of it")
        assert flow.engine.requests[-1].turns[-2:] == (
            Turn(Role.USER, "tell", "Ann"),
            Turn(Role.ASSISTANT, "part 1 of it"),
        )
        await answer(flow, "continue")
        assert flow.engine.requests[-1].turns[-1].text == "part 1 of it part 3 of it"
        await answer(flow, "retry")
        assert flow.engine.requests[-1].turns[-1].text == "part 1 of it part 3 of it"
        await answer(flow, "undo")
        await ask(flow, "more")
        assert "part 1 of it part 3 of it" in turns(flow)


async def test_a_whole_answer_cannot_be_continued(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await ask(flow, "one")
        assert "was complete" in await answer(flow, "continue")


async def test_where_a_model_can_go_on_its_cut_answer_says_how(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=CutOffEngine()) as flow:
        await ask(flow, "tell")
        assert "/continue goes on with it" in flow.platform.messages()[-1].text


async def test_an_answer_that_repeated_itself_says_so_and_cannot_be_continued(
    tmp_path: Path,
) -> None:
    engine = CutOffEngine()
    engine.reason = FinishReason.REPETITION
    async with running_flow(tmp_path, engine=engine) as flow:
        await ask(flow, "tell")
        said = flow.platform.messages()[-1].text
        assert "part 1 of it" in said
        assert "kept repeating itself" in said
        assert "Try /retry" in await answer(flow, "continue")
        assert len(flow.engine.requests) == 1


async def test_blenderbot_cannot_go_on_and_says_what_else_helps(tmp_path: Path) -> None:
    entries = {"blenderbot": entry("blenderbot").model_copy(update={"family": Family.BLENDERBOT})}
    async with running_flow(tmp_path, engine=CutOffEngine(), entries=entries) as flow:
        await ask(flow, "tell")
        assert "length limit" in flow.platform.messages()[-1].text
        assert "/continue" not in flow.platform.messages()[-1].text
        said = await answer(flow, "continue")
        assert said.startswith("blenderbot cannot go on with an answer")
        assert "/retry with MODEL" in said
        assert len(flow.engine.requests) == 1


async def test_an_answer_that_failed_cannot_be_continued(tmp_path: Path) -> None:
    engine = CutOffEngine()
    engine.reason = FinishReason.ERROR
    async with running_flow(tmp_path, engine=engine) as flow:
        await ask(flow, "one")
        assert "Try /retry" in await answer(flow, "continue")


async def test_undo_takes_back_one_own_exchange_after_another(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        for text in ("one", "two", "three"):
            await ask(flow, text)
        await ask(flow, "bens", BEN)
        assert "“three”" in await answer(flow, "undo")
        assert "“two”" in await answer(flow, "undo")
        await ask(flow, "four")
        assert turns(flow) == [
            "Ann: one",
            "You said: one",
            "Ben: bens",
            "You said: Ben: bens",
            "Ann: four",
        ]


async def test_a_persona_is_chosen_by_name_or_in_own_words(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert "I am `tutor`" in await answer(flow, "persona set", persona="Tutor", scope="me")
        await ask(flow, "hi")
        assert flow.engine.requests[-1].turns[0].text == PERSONAS["tutor"]
        assert "`tutor` (in use here)" in await answer(flow, "persona list")
        await answer(flow, "persona set", persona="You are a cat.", scope="me")
        await ask(flow, "hi")
        assert flow.engine.requests[-1].turns[0].text == "You are a cat."
        shown = await answer(flow, "persona show")
        assert shown == "My persona here (set for you):\n> You are a cat."
        assert "is cleared" in await answer(flow, "persona clear", scope="me")
        assert "nothing changed" in await answer(flow, "persona clear", scope="me")
        assert "> Be kind." in await answer(flow, "persona show")


async def test_a_persona_of_a_channel_takes_who_manages_it(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert "Only those who manage" in await answer(flow, "persona set", persona="tutor")
        await answer(flow, "persona set", persona="brief", scope="me")
        assert "this conversation" in await answer(flow, "persona set", MANAGER, persona="tutor")
        await ask(flow, "hi", BEN)
        assert flow.engine.requests[-1].turns[0].text == PERSONAS["tutor"]


async def test_a_model_that_ignores_personas_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = ENTRIES["small"].model_copy(update={"has_system_prompt": False})
    monkeypatch.setitem(ENTRIES, "small", deaf)
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "persona set", persona="tutor", scope="me")
        assert "small, ignores personas" in said


async def test_why_tells_what_chose_the_model_and_what_was_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "model use", name="large", scope="me")
        said = await answer(flow, "model why")
        assert said == "`large` answers you here (set for you; not loaded yet)."
    monkeypatch.delitem(ENTRIES, "large")
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model why")
        assert said.splitlines() == [
            "`large` (set for you) is passed over: no longer in the catalogue.",
            "`small` answers you here (from the configuration; not loaded yet).",
        ]


async def test_a_model_that_was_removed_from_the_machine_falls_to_the_next_scope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "model use", name="large", scope="me")
        monkeypatch.setitem(ENTRIES, "large", ENTRIES["absent"])
        said = flow.platform.answer(await ask(flow, "hi"))
        assert said.endswith("(large is no longer installed; small answers instead.)")


async def test_list_tells_the_size_the_kind_and_the_speed_measured_here(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=CutOffEngine()) as flow:
        before = await answer(flow, "model list")
        assert "`large`: Large (not loaded, 0 MiB, decoder-only)" in before
        await ask(flow, "one")
        after = await answer(flow, "model list")
        assert "decoder-only, 20 tokens/s here)" in after
