"""What the commands do, through the whole flow."""

from pathlib import Path

import pytest

from bot.conversation import Role
from bot.messages import Author, ConversationRef
from tests.doubles.scripted import ANN, BEN, CHANNEL, DIRECT, command, question
from tests.running_flow import ENTRIES, Flow, running_flow

MANAGER = Author("mia", "Mia", can_manage=True)
OWNER = Author("olga", "Olga")


async def answer(
    flow: Flow,
    command_name: str,
    /,
    author: Author = ANN,
    conversation: ConversationRef = CHANNEL,
    **arguments: str,
) -> str:
    identifier = f"c{len(flow.platform.messages())}"
    await flow.submit(command(command_name, arguments, identifier, author, conversation))
    await flow.settle(identifier)
    return flow.platform.answer(identifier)


async def model_of(flow: Flow, author: Author, where: ConversationRef = CHANNEL) -> str:
    identifier = f"q{len(flow.platform.messages())}"
    await flow.submit(question("which?", identifier, author, where))
    await flow.settle(identifier)
    return flow.engine.requests[-1].model


async def test_a_member_switches_for_themselves_alone(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model use", name="large", scope="me")
        assert said == "Large (large) answers you from the next message on."
        assert await model_of(flow, ANN) == "large"
        assert await model_of(flow, BEN) == "small"


async def test_a_conversation_keeps_its_history_across_a_switch(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.submit(question("I am Ann", "before", ANN))
        await flow.settle("before")
        await answer(flow, "model use", name="large", scope="me")
        await flow.submit(question("who am I?", "after", ANN))
        await flow.settle("after")
        request = flow.engine.requests[-1]
        said = [turn.text for turn in request.turns if turn.role is not Role.SYSTEM]
        assert request.model == "large"
        assert said == ["I am Ann", "You said: I am Ann", "who am I?"]


async def test_a_manager_switches_a_channel_and_no_other(tmp_path: Path) -> None:
    elsewhere = ConversationRef("scripted", "home", "other")
    async with running_flow(tmp_path) as flow:
        await answer(flow, "model use", MANAGER, name="large", scope="channel")
        assert await model_of(flow, BEN) == "large"
        assert await model_of(flow, BEN, elsewhere) == "small"


async def test_the_narrower_scope_goes_first(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "model use", ANN, name="small", scope="me")
        said = await answer(flow, "model use", OWNER, name="large", scope="global")
        assert "everyone" in said
        assert await model_of(flow, BEN) == "large"
        assert await model_of(flow, ANN) == "small"


async def test_anyone_switches_in_their_direct_messages(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "model use", ANN, DIRECT, name="large")
        assert await model_of(flow, ANN, DIRECT) == "large"
        assert await model_of(flow, ANN) == "small"


@pytest.mark.parametrize("scope", ["channel", "workspace", "global"])
async def test_who_may_not_switch_is_told(tmp_path: Path, scope: str) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model use", ANN, name="large", scope=scope)
        assert said.startswith("Only")
        assert await model_of(flow, ANN) == "small"


async def test_a_thread_scope_outside_a_thread_is_refused(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model use", MANAGER, name="large", scope="thread")
        assert said == "There is no thread here to set model for."


async def test_a_model_that_is_not_here_names_the_command_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model use", ANN, name="absent", scope="me")
        assert "fireside models pull absent" in said
        assert await model_of(flow, ANN) == "small"


@pytest.mark.parametrize("name", ["smal", "../../etc/passwd", "facebook/opt-350m", "\u202ex"])
async def test_only_catalogue_entries_can_be_chosen(tmp_path: Path, name: str) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model use", ANN, name=name, scope="me")
        assert "no model" in said
        assert await model_of(flow, ANN) == "small"


async def test_a_setting_whose_model_vanished_falls_to_the_next_scope_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "model use", ANN, name="large", scope="me")
    monkeypatch.delitem(ENTRIES, "large")
    async with running_flow(tmp_path) as flow:
        assert await model_of(flow, ANN) == "small"
        said = flow.platform.messages()[-1].text
        assert said.endswith("(large is no longer in the catalogue; small answers instead.)")


async def test_list_tells_what_is_in_use_and_how_to_get_more(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model list")
        assert "`small`: Small (in use here, not loaded" in said
        assert said.index("`large`") < said.index("fireside models pull") < said.index("`absent`")


async def test_info_says_what_a_model_is(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "model info", name="large")
        assert "**Large**" in said
        assert "512 tokens" in said
        assert "MIT" in said


async def test_ask_puts_a_question_to_the_model(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert await answer(flow, "ask", question="why?") == "You said: why?"


async def test_help_lists_every_command(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "help")
        for known in flow.services.commands:
            assert f"`{known.usage}`" in said


async def test_an_unknown_command_is_told_as_such(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "fly")
        assert "There is no command /fly" in said


async def test_completion_offers_models_and_scopes(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        complete = flow.services.complete
        names = [choice.value for choice in await complete("model use", "name", "l")]
        assert names == ["large"]
        scopes = [choice.value for choice in await complete("model use", "scope", "")]
        assert scopes == ["me", "thread", "channel", "workspace", "global"]
        assert await complete("fly", "name", "") == []
