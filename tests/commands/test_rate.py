"""/rate, through the whole flow."""

from pathlib import Path

from bot.messages import Author
from bot.store.ports.ratings import Rating
from tests.doubles.scripted import ACCOUNT, ANN, BEN, Posted, command, question
from tests.running_flow import Flow, running_flow, until


async def rated(flow: Flow, author: Author = ANN, **arguments: str) -> Posted:
    identifier = f"r{len(flow.platform.messages())}"
    await flow.submit(command("rate", arguments, identifier, author))
    await flow.settle(identifier)
    (message,) = flow.platform.messages(identifier)
    return message


async def answered(flow: Flow) -> None:
    await flow.submit(question("why?"))
    await flow.settle("q1")
    await until(lambda: flow.orchestrator.in_memory() == 0)


async def test_the_last_answer_is_rated_without_a_word_of_it(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        said = await rated(flow, rating="Good")
        assert await flow.store.ratings.of(ACCOUNT, "q1") == {"ann": Rating.GOOD}
        assert await flow.store.ratings.kept() == []

    assert said.text.startswith("Noted, thank you.")
    assert said.is_private


async def test_the_words_are_kept_if_the_member_says_so(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answered(flow)
        said = await rated(flow, rating="bad", keep="yes")
        (kept,) = await flow.store.ratings.kept()

    assert (kept.question, kept.answer, kept.rating) == ("why?", "You said: why?", Rating.BAD)
    assert said.text.startswith("Kept, thank you")


async def test_bad_input_and_nothing_to_rate_are_told(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert "no answer to you here" in (await rated(flow, rating="good")).text
        await answered(flow)
        assert "no answer to you here" in (await rated(flow, BEN, rating="good")).text
        assert "RATING is one of good, bad" in (await rated(flow, rating="great")).text
