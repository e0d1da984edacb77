"""The owner's word list, over whole answers and over growing ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.messages import Action
from bot.policy.word_list import SentenceGate, WordList, held_back
from tests.doubles.scripted import ScriptedEngine, command, question
from tests.running_flow import running_flow, until

MASKING = WordList(["darn", "heck*", "bad luck"], "mask")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("well, Darn it", "well, ████ it"),
        ("darning is fine", "darning is fine"),
        ("what the heckler", "what the ███████"),
        ("BAD \n luck!", "██████████!"),
        ("d\u200ba\u00adrn", "██████"),
        ("\uff44\uff41\uff52\uff4e", "████"),
        ("a darn and a heck", "a ████ and a ████"),
    ],
)
def test_words_are_masked_however_they_are_written(text: str, shown: str) -> None:
    assert MASKING.allowed(text) == shown


def test_an_answer_with_a_word_is_held_back_as_a_whole() -> None:
    words = WordList(["darn"])
    assert words.allowed("a darn shame") is None
    assert words.allowed("a shame") == "a shame"


@pytest.mark.parametrize("words", [(), ("",), (" ",), ("*",)])
def test_without_words_everything_is_allowed(words: tuple[str, ...]) -> None:
    assert WordList(words).is_empty
    assert WordList(words).allowed("darn") == "darn"


@given(st.text(max_size=60), st.lists(st.text(max_size=12), max_size=4))
def test_any_words_and_texts_give_a_text_of_the_same_length(text: str, words: list[str]) -> None:
    shown = WordList(words, "mask").allowed(text)
    assert shown is not None
    assert len(shown) == len(text)


def test_a_sentence_passes_once_it_is_whole() -> None:
    passed: list[str] = []
    gate = SentenceGate(WordList(["darn"]), passed.append)
    for delta in ("It is ", "fine. And", " so on", "! Then"):
        gate.add(delta)
    assert "".join(passed) == "It is fine. And so on! "
    gate.end()
    assert "".join(passed) == "It is fine. And so on! Then"


def test_after_a_held_sentence_nothing_passes() -> None:
    passed: list[str] = []
    gate = SentenceGate(WordList(["darn"]), passed.append)
    gate.add("It is fine. What a da")
    gate.add("rn day. It is over. ")
    gate.end()
    assert "".join(passed) == "It is fine. "
    assert gate.is_shut


@pytest.mark.parametrize("between", [" ", "\n", "\n\n"])
def test_several_words_are_found_over_the_end_of_a_sentence(between: str) -> None:
    held: list[str] = []
    gate = SentenceGate(WordList(["red fox"]), held.append)
    for delta in ("One.\nA red", between, "fox, you see. It ran."):
        gate.add(delta)
    gate.end()
    assert "fox" not in "".join(held)
    assert gate.is_shut

    masked: list[str] = []
    gate = SentenceGate(WordList(["red fox"], "mask"), masked.append)
    for delta in ("One.\nA red", between, "fox, you see. It ran."):
        gate.add(delta)
    gate.end()
    assert "fox" not in "".join(masked)
    assert "".join(masked).endswith("███, you see. It ran.")


@given(st.lists(st.text("ab .!\n", max_size=6), max_size=20))
def test_what_holds_no_word_passes_whole(deltas: list[str]) -> None:
    passed: list[str] = []
    gate = SentenceGate(WordList(["darn"]), passed.append)
    for delta in deltas:
        gate.add(delta)
    gate.end()
    assert "".join(passed) == "".join(deltas)


def test_without_words_nothing_waits() -> None:
    passed: list[str] = []
    SentenceGate(WordList(), passed.append).add("half a wo")
    assert passed == ["half a wo"]


BAD = ScriptedEngine(lambda request: "Well. That is a darn shame. But so it is.")


async def test_a_held_answer_is_never_posted_and_is_no_context(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=BAD, words=WordList(["darn"])) as flow:
        await flow.submit(question("how is it?"))
        await flow.settle("q1")
        (message,) = flow.platform.messages("q1")
        everything = (tmp_path / "platform.jsonl").read_text()
        await flow.submit(question("and now?", "q2"))
        await flow.settle("q2")
        seen = [turn.text for turn in flow.engine.requests[-1].turns]

    assert message.text == held_back()
    assert "darn" not in everything
    assert seen[1:] == ["and now?"]


async def test_a_masked_answer_is_shown_with_its_buttons(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=BAD, words=WordList(["darn"], "mask")) as flow:
        await flow.submit(question("how is it?"))
        await flow.settle("q1")
        (message,) = flow.platform.messages("q1")

    assert message.text == "Well. That is a ████ shame. But so it is."
    assert Action.GOOD in message.actions


async def test_a_comparison_with_a_word_is_held_back_too(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=BAD, words=WordList(["darn"])) as flow:
        await flow.submit(command("compare", {"question": "how?", "models": "small,large"}))
        await flow.settle("c1")
        await until(lambda: flow.orchestrator.in_memory() == 0)
        (message,) = flow.platform.messages("c1")

    assert message.text == held_back()
    assert message.actions == []
    assert "darn" not in (tmp_path / "platform.jsonl").read_text()


def test_words_are_found_after_a_long_text_that_is_not_looked_at_again() -> None:
    shown: list[str] = []
    gate = SentenceGate(WordList(["red fox"], "mask"), shown.append)
    sentences = [f"Sentence {number} is of no interest here.\n" for number in range(200)]
    for sentence in (*sentences, "At last a red\n", "fox, and a red fox.", " It ran."):
        gate.add(sentence)
    gate.end()
    text = "".join(shown)
    assert text.startswith("".join(sentences))
    assert "fox" not in text
    assert text.endswith("███, and a ███████. It ran.")
