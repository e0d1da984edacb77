"""The default persona is for models that follow one; one that somebody set is for all."""

from pathlib import Path

from bot.conversation import Role
from bot.settings.personas import PERSONAS
from config.settings import PERSONA
from tests.commands.test_commands import answer
from tests.doubles.scripted import ANN, question
from tests.running_flow import Flow, entry, running_flow

ENTRIES = {
    "tiny": entry("tiny").model_copy(update={"parameters": 135_000_000}),
    "big": entry("big").model_copy(update={"parameters": 4_000_000_000}),
    "deaf": entry("deaf").model_copy(update={"has_system_prompt": False}),
}


async def system_turn(flow: Flow, model: str) -> str | None:
    """What a model is told about itself."""
    await answer(flow, "model use", name=model, scope="me")
    identifier = f"q{len(flow.platform.messages())}"
    await flow.submit(question("hello", identifier, ANN))
    await flow.settle(identifier)
    first = flow.engine.requests[-1].turns[0]
    return first.text if first.role is Role.SYSTEM else None


async def test_where_nobody_set_one_only_models_that_follow_one_are_given_it(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path, entries=ENTRIES, persona=None) as flow:
        assert await system_turn(flow, "big") == PERSONA
        assert await system_turn(flow, "tiny") is None


async def test_what_the_owner_set_is_given_to_every_model(tmp_path: Path) -> None:
    async with running_flow(tmp_path, entries=ENTRIES, persona="You are a librarian.") as flow:
        for model in ("big", "tiny"):
            assert await system_turn(flow, model) == "You are a librarian."


async def test_what_a_member_set_is_given_to_every_model(tmp_path: Path) -> None:
    async with running_flow(tmp_path, entries=ENTRIES, persona=None) as flow:
        await answer(flow, "persona set", persona="tutor", scope="me")
        assert await system_turn(flow, "tiny") == PERSONAS["tutor"]
        await answer(flow, "persona clear", scope="me")
        assert await system_turn(flow, "tiny") is None


async def test_an_empty_persona_is_one_that_was_set(tmp_path: Path) -> None:
    async with running_flow(tmp_path, entries=ENTRIES, persona="") as flow:
        assert await system_turn(flow, "big") is None


async def test_a_chosen_language_reaches_a_model_without_a_persona(tmp_path: Path) -> None:
    async with running_flow(tmp_path, entries=ENTRIES, persona=None) as flow:
        await answer(flow, "settings set", key="language", value="de", scope="me")
        assert await system_turn(flow, "tiny") == "Answer in German."


async def test_show_says_what_holds_where_nobody_set_one(tmp_path: Path) -> None:
    async with running_flow(tmp_path, entries=ENTRIES, persona=None) as flow:
        await system_turn(flow, "big")
        said = await answer(flow, "persona show")
        assert said == f"My persona here (the default):\n> {PERSONA}"
        await system_turn(flow, "tiny")
        said = await answer(flow, "persona show")
        assert said == "No persona is set here, so tiny uses its own system prompt."
        await system_turn(flow, "deaf")
        said = await answer(flow, "persona show")
        assert said.splitlines()[0] == "No persona is set here."
        assert said.endswith("deaf, ignores personas.")
        shown = await answer(flow, "settings show")
        assert "- `persona`: the default, for models that follow one" in shown


async def test_info_says_what_becomes_of_a_persona(tmp_path: Path) -> None:
    async with running_flow(tmp_path, entries=ENTRIES) as flow:
        assert "Persona: followed" in await answer(flow, "model info", name="big")
        said = await answer(flow, "model info", name="tiny")
        assert "Persona: used if you set one; otherwise the model's own system prompt" in said
        assert "Persona: ignored" in await answer(flow, "model info", name="deaf")
