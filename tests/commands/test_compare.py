"""/compare, /vote and /leaderboard, through the whole flow."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.conversation import Role
from bot.engine.base import GenerationRequest
from bot.messages import Action, ActionInvoked, Author, ConversationRef, ReplyView
from tests.doubles.scripted import ANN, BEN, CHANNEL, ScriptedEngine, command
from tests.running_flow import Flow, running_flow, until

SUN = "what is the age of the sun?"


def say(request: GenerationRequest) -> str:
    """Each model says its name and what it has heard and said, so that histories can be told."""
    heard = [turn.text for turn in request.turns if turn.role is not Role.SYSTEM]
    return f"{request.model} after {heard[:-1]}"


async def compared(
    flow: Flow,
    question: str = SUN,
    author: Author = ANN,
    where: ConversationRef = CHANNEL,
    **arguments: str,
) -> str:
    """The id of a comparison that has been answered."""
    identifier = f"c{len(flow.platform.messages())}"
    given = {"question": question, **arguments}
    await flow.submit(command("compare", given, identifier, author, where))
    await flow.settle(identifier)
    return identifier


async def press(flow: Flow, action: Action, target: str, author: Author = ANN) -> ReplyView | None:
    identifier = f"press-{action}-{author.id}-{target}"
    event = ActionInvoked(identifier, CHANNEL, author, action, target)
    return await flow.services.submit(event)


async def run(flow: Flow, name: str, author: Author = ANN, **arguments: str) -> str:
    identifier = f"r{len(flow.platform.messages())}"
    await flow.submit(command(name, arguments, identifier, author))
    await flow.settle(identifier)
    return flow.platform.answer(identifier)


async def test_each_model_answers_under_its_name_with_a_vote(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        target = await compared(flow, models="small,large")
        (message,) = flow.platform.messages(target)

    assert "**A · small**\n> small after []" in message.text
    assert "**B · large**\n> large after []" in message.text
    assert message.actions == ["vote-a", "vote-b", "vote-tie"]


async def test_repeated_turns_keep_each_models_own_history(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        await compared(flow, models="small,large")
        again = await compared(flow, "are you sure?")
        text = flow.platform.answer(again)

    assert f"> small after ['{SUN}', 'small after []']" in text
    assert f"> large after ['{SUN}', 'large after []']" in text


async def test_a_reset_and_another_member_begin_afresh(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        await compared(flow, models="small,large")
        other = await compared(flow, "are you sure?", BEN)
        await run(flow, "reset")
        after_reset = await compared(flow, "are you sure?")

        assert "small after []" in flow.platform.answer(other)
        assert "small after []" in flow.platform.answer(after_reset)


async def test_while_it_is_blind_no_model_is_named(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: "the same")
    async with running_flow(tmp_path, engine=engine) as flow:
        target = await compared(flow, models="small,large", blind="yes")
        assert "**A**\n> the same" in flow.platform.answer(target)
        told = await press(flow, Action.VOTE_A, target, BEN)
        assert told is not None
        assert told.is_private
        assert told.text == ("Your vote is counted: A. Ann asked, and must vote to see the models.")
        shown = " ".join(str(message) for message in flow.platform.messages())

    assert "small" not in shown
    assert "large" not in shown


async def test_the_askers_vote_shows_the_models_in_place(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        target = await compared(flow, models="small,large", blind="yes")
        await press(flow, Action.VOTE_B, target, BEN)
        models = [request.model for request in flow.engine.requests]
        first = models[0]
        told = await press(flow, Action.VOTE_A, target)
        assert told is not None
        assert told.text == f"Your vote is counted: A, which is {first}."
        await until(lambda: f"**A · {first}** · 1 vote" in flow.platform.answer(target))
        (message,) = flow.platform.messages(target)
        asked = len(flow.engine.requests)

    assert message.edits > 0
    assert message.picture == f"The answers of {', '.join(models)} side by side"
    assert asked == 2, "the answers are not made anew"


async def test_a_blind_talk_keeps_its_letters_and_a_revealed_one_is_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backwards(items: Sequence[object], count: int) -> list[object]:
        return [*items][::-1]

    monkeypatch.setattr("random.sample", backwards)
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        await compared(flow, models="small,large", blind="yes")
        await compared(flow, "are you sure?")
        assert [one.model for one in flow.engine.requests] == ["large", "small"] * 2
        latest = await compared(flow, "really?")
        await press(flow, Action.VOTE_A, latest)
        await until(lambda: "· large" in flow.platform.answer(latest))
        await compared(flow, "and now?", models="large,small", blind="yes")
        assert [one.model for one in flow.engine.requests[6:]] == ["small", "large"]


async def test_votes_replace_each_other_and_feed_the_leaderboard(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        target = await compared(flow, models="small,large")
        await press(flow, Action.VOTE_A, target, BEN)
        await flow.services.submit(ActionInvoked("again", CHANNEL, BEN, Action.VOTE_B, target))
        board = await run(flow, "leaderboard")
        picture = flow.platform.messages()[-1].picture

    assert picture == "The models by rating: large, small"
    lines = board.splitlines()
    assert lines[0] == "```"
    assert lines[2].split() == ["1", "large", "1095", "1", "0", "1"]
    assert lines[3].split() == ["2", "small", "905", "0", "0", "1"]
    assert lines[-1].startswith("1 vote, 0 of them blind.")


async def test_a_command_votes_where_there_are_no_buttons(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        assert "Nothing was compared here yet" in await run(flow, "vote", choice="a")
        await compared(flow, models="small,large", blind="yes")
        assert "must vote to see" in await run(flow, "vote", BEN, choice="b")
        said = await run(flow, "vote", choice="Tie")

    assert said.startswith("Your vote is counted: a tie.")
    assert "· small" in said


@pytest.mark.parametrize("author", [ANN, BEN])
async def test_who_wants_no_buttons_votes_by_command(tmp_path: Path, author: Author) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        await run(flow, "settings set", key="buttons", value="none", scope="me")
        target = await compared(flow, models="small,large", author=author)
        (message,) = flow.platform.messages(target)

    assert (message.actions == []) == (author is ANN)
    assert ("Vote with `/vote A`" in message.text) == (author is ANN)


async def test_a_vote_for_no_answer_is_refused(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        target = await compared(flow, models="small,large")
        told = await press(flow, Action.VOTE_D, target)
        assert told is not None
        assert told.text == "There is no answer D to choose here."
        assert "Nobody has voted yet" in await run(flow, "leaderboard")


async def test_stopping_keeps_what_was_said_and_offers_no_vote(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=ScriptedEngine(say)) as flow:
        flow.engine.gate.clear()
        given = {"question": SUN, "models": "small,large"}
        await flow.submit(command("compare", given))
        await until(lambda: bool(flow.engine.requests))
        await press(flow, Action.STOP, "c1")
        await flow.settle("c1")
        (message,) = flow.platform.messages("c1")

    assert message.text == "(Stopped.)"
    assert message.actions == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"models": "small"}, "MODELS takes two to four different models"),
        ({"models": "small,small"}, "I read: small."),
        ({"models": "small,absent"}, "fireside models pull absent"),
        ({"models": "small,nonsense"}, "There is no model nonsense"),
        ({"models": "small,large", "blind": "perhaps"}, "BLIND is one of yes, no"),
        ({"question": " "}, "QUESTION is missing"),
    ],
)
async def test_bad_input_is_told_and_nothing_is_asked(
    tmp_path: Path, arguments: dict[str, str], said: str
) -> None:
    async with running_flow(tmp_path) as flow:
        given = {"question": SUN, **arguments}
        await flow.submit(command("compare", given))
        await flow.settle("c1")
        assert said in flow.platform.answer("c1")
        assert flow.engine.requests == []


async def test_without_names_the_installed_models_are_compared(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await compared(flow)
        assert [one.model for one in flow.engine.requests] == ["small", "large"]


async def test_names_are_completed_one_after_another(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        found = await flow.services.complete("compare", "models", "small,la")
        assert [choice.value for choice in found] == ["small,large"]
