"""/settings, and what each setting does to an answer."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.conversation import Role
from bot.engine.base import GenerationRequest
from bot.messages import Addressed, Author, ConversationRef, IncomingMessage
from bot.settings.specs import SettingName
from tests.commands.test_commands import MANAGER, OWNER, answer, model_of
from tests.doubles.scripted import ANN, BEN, CHANNEL, DIRECT, question
from tests.running_flow import Flow, running_flow


async def change(flow: Flow, key: str, value: str, author: Author = ANN, scope: str = "me") -> str:
    return await answer(flow, "settings set", author, key=key, value=value, scope=scope)


async def asked(
    flow: Flow, text: str, author: Author = ANN, where: ConversationRef = CHANNEL
) -> GenerationRequest:
    """Ask, and return what the engine was asked."""
    return await put(flow, question(text, f"q{len(flow.platform.messages())}", author, where))


async def put(flow: Flow, event: IncomingMessage) -> GenerationRequest:
    await flow.submit(event)
    await flow.settle(event.id)
    return flow.engine.requests[-1]


def words(request: GenerationRequest) -> list[str]:
    """What was said in a request's turns, without the persona."""
    return [turn.text for turn in request.turns if turn.role is not Role.SYSTEM]


async def test_show_prints_each_value_and_its_origin(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "model", "large")
        said = await answer(flow, "settings show")
        assert "- `model`: `large` (set for you)" in said
        assert "- `persona`: `Be kind.` (from the configuration)" in said
        assert "- `temperature`: the model's own" in said
        assert "- `user_rate`: not set" in said
        assert all(f"`{name.value}`" in said for name in SettingName)


async def test_show_of_one_setting_tells_what_would_hold_otherwise(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "model", "large")
        said = await answer(flow, "settings show", key="model")
        assert "It is `large` (set for you)." in said
        assert "- `small` (from the configuration)" in said


async def test_a_reset_lets_the_next_scope_hold(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "model", "large")
        said = await answer(flow, "settings reset", key="model", scope="me")
        assert "For you here it is `small`" in said
        assert await model_of(flow, ANN) == "small"
        said = await answer(flow, "settings reset", key="model", scope="me")
        assert "nothing changed" in said


async def test_a_locked_setting_cannot_be_set_more_narrowly(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "model", "large", MANAGER, "channel")
        said = await answer(flow, "settings lock", MANAGER, key="model")
        assert "nobody can set it more narrowly" in said
        assert "locked for this conversation" in await change(flow, "model", "small")
        assert await model_of(flow, ANN) == "large"
        assert "locked" in await answer(flow, "settings show", key="model")
        await answer(flow, "settings unlock", MANAGER, key="model")
        assert "was not locked" in await answer(flow, "settings unlock", MANAGER, key="model")
        await change(flow, "model", "small")
        assert await model_of(flow, ANN) == "small"


async def test_the_last_change_is_taken_back_and_the_trail_says_who(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "model", "large", MANAGER, "channel")
        said = await answer(flow, "settings undo", MANAGER)
        assert said == ("Taken back: model is no longer set for this conversation; it was `large`.")
        assert await model_of(flow, ANN) == "small"
        title, *trail = (await answer(flow, "settings history", key="model")).splitlines()
        assert title == "Who changed what here, the latest first:"
        assert len(trail) == 2
        assert all("scripted:mia" in line for line in trail)
        own = await answer(flow, "settings history", MANAGER, key="model")
        assert own.count("UTC, you: `model`") == 2
        assert trail[0].endswith("(taken back)")
        assert await answer(flow, "settings history", key="raw") == "Nobody has changed that here."


async def test_a_long_trail_is_cut(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        for number in range(20):
            await change(flow, "length", str(number + 1))
        assert "and 5 earlier ones" in await answer(flow, "settings history")


@pytest.mark.parametrize(
    ("author", "key", "scope"),
    [(ANN, "persona", "channel"), (ANN, "trigger", "channel"), (MANAGER, "model", "workspace")],
)
async def test_who_may_not_change_a_setting_is_told(
    tmp_path: Path, author: Author, key: str, scope: str
) -> None:
    value = {"trigger": "everything", "model": "large"}.get(key, "Be rude.")
    async with running_flow(tmp_path) as flow:
        assert (await change(flow, key, value, author, scope)).startswith("Only")
        for name in ("lock", "reset", "unlock"):
            said = await answer(flow, f"settings {name}", author, key=key, scope=scope)
            assert said.startswith("Only")
        assert "nobody has changed" in (await answer(flow, "settings history")).lower()


async def test_sampling_length_and_persona_reach_the_engine(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        before = (await asked(flow, "hi")).sampling
        await change(flow, "temperature", "0.2")
        await change(flow, "top_p", "0.5")
        await change(flow, "length", "7")
        await change(flow, "language", "de")
        request = await asked(flow, "hi")
        assert request.sampling == replace(before, temperature=0.2, top_p=0.5, max_tokens=7)
        assert request.turns[0].text == "Be kind.\n\nAnswer in German."


async def test_each_member_may_have_a_context_of_their_own(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        shared = await asked(flow, "from ben", BEN)
        await change(flow, "context", "member")
        await asked(flow, "first")
        request = await asked(flow, "second")
        assert words(request) == ["first", "You said: first", "second"]
        assert request.cache_key != shared.cache_key
        assert "Ben: from ben" in words(await asked(flow, "third", BEN))


async def test_a_chain_of_replies_is_all_that_is_seen(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "context", "replies")
        await asked(flow, "one")
        (first,) = flow.platform.messages("q1")
        await asked(flow, "aside")
        follow = replace(question("two", "q90"), replies_to=first.id)
        assert words(await put(flow, follow)) == ["one", "You said: one", "two"]
        (second,) = flow.platform.messages("q90")
        last = replace(question("three", "q91"), replies_to=second.id)
        request = await put(flow, last)
        assert words(request) == ["one", "You said: one", "two", "You said: two", "three"]
        assert words(await asked(flow, "alone")) == ["alone"]


async def test_raw_feeds_the_question_alone(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await asked(flow, "before")
        await change(flow, "raw", "on")
        request = await asked(flow, "hi")
        assert request.is_raw
        assert [turn.text for turn in request.turns] == ["hi"]


async def test_an_answer_that_is_not_streamed_comes_at_once(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "streaming", "off")
        await asked(flow, "many words that take a while to say")
        (message,) = flow.platform.messages("q1")
        assert message.edits == 0
        assert message.text == "You said: many words that take a while to say"


@pytest.mark.parametrize(
    ("buttons", "shown"), [("minimal", ["retry"]), ("none", []), ("full", ["retry", "good", "bad"])]
)
async def test_the_buttons_are_those_that_are_wanted(
    tmp_path: Path, buttons: str, shown: list[str]
) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "buttons", buttons)
        await asked(flow, "hi")
        (message,) = flow.platform.messages("q1")
        assert message.actions == shown


async def test_the_trigger_of_a_channel_is_told_to_its_adapter(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert await flow.services.unaddressed(CHANNEL) is None
        await change(flow, "trigger", "everything", MANAGER, "channel")
        assert await flow.services.unaddressed(CHANNEL) is Addressed.CHANNEL
        assert await flow.services.unaddressed(DIRECT) is None


async def test_a_channel_whose_admins_let_it_listen_gives_context_and_no_answers(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await change(flow, "trigger", "listen", MANAGER, "channel")
        heard = await flow.services.unaddressed(CHANNEL)
        assert heard is Addressed.OVERHEARD
        said = replace(question("soup\x00 at noon", "h1", BEN), addressed=heard)
        await flow.submit(said, said)
        request = await asked(flow, "when is soup?")
        assert flow.platform.messages("h1") == []
        assert words(request) == ["Ben: soup at noon", "Ann: when is soup?"]


async def test_a_persona_may_end_in_words_that_look_like_a_scope(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        parsed = flow.services.commands.parse("/settings set persona A helper for kids for me")
        assert parsed.arguments == {
            "key": "persona",
            "value": "A helper for kids",
            "scope": "me",
        }
        parsed = flow.services.commands.parse("/settings set persona A helper for kids")
        assert parsed.arguments == {"key": "persona", "value": "A helper for kids"}


async def test_a_wrong_value_changes_nothing_and_says_what_is_taken(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert "from 0 to 5" in await change(flow, "temperature", "very")
        assert "no model" in await change(flow, "model", "nothing")
        assert "KEY is one of" in await change(flow, "colour", "red")
        assert "changed that" in await answer(flow, "settings history")


async def test_an_owner_sets_what_holds_for_everyone(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await change(flow, "model", "large", OWNER, "global")
        assert said == "model is `large` for everyone from the next message on."
        assert await model_of(flow, BEN) == "large"
