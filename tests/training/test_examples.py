"""The hand-written examples: format, expansion, composed dialogues, held-out phrasings."""

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from training.dialogue import ask, ask_held_out, compose, type_like_people
from training.examples import (
    Examples,
    choose_slots,
    expand,
    fill,
    is_probe,
    load_examples,
)
from training.filters import has_profanity

EXAMPLES = load_examples()


def _load(text: str, folder: Path) -> Examples:
    (folder / "group.txt").write_text(text, encoding="utf-8")
    return load_examples(folder)


def test_the_format_is_read(tmp_path: Path) -> None:
    text = "# note\n= g chat 3\n> hi\n< ho\n>> why?\n<< so\n>> eh?\n<< oh\n@pair a : b | c : d\n"
    examples = _load(text, tmp_path)
    (group,) = examples.groups
    assert (group.name, group.kind, group.weight) == ("g", "chat", 3)
    assert [follow.answers for follow in group.follow_ups] == [["so"], ["oh"]]
    assert examples.slots == {"pair": [("a", "b"), ("c", "d")]}


@pytest.mark.parametrize("text", ["= g never\n", "= g chat\nhello\n"])
def test_mistakes_in_the_format_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown"):
        _load(text, tmp_path)


def test_brackets_expand_to_one_of_their_choices() -> None:
    expanded = {expand("[how old|what age] is [it|]?", Random(seed)) for seed in range(50)}
    assert expanded == {"how old is it?", "how old is?", "what age is it?", "what age is?"}


def test_slots_of_question_and_answer_agree() -> None:
    chosen = choose_slots({"capital": [("France", "Paris")]}, Random(0))
    assert fill("capital of {capital}?", chosen) == "capital of France?"
    assert fill("{capital:2}.", chosen) == "Paris."


def test_a_hundred_and_fifty_groups_have_questions_and_different_answers() -> None:
    assert len(EXAMPLES.groups) >= 150
    for group in EXAMPLES.groups:
        for exchange in (group.exchange, *group.follow_ups):
            assert exchange.questions
            assert exchange.answers
            assert len(set(exchange.answers)) == len(exchange.answers)


def test_no_answer_is_crude() -> None:
    for group in EXAMPLES.groups:
        for exchange in (group.exchange, *group.follow_ups):
            assert not any(has_profanity(answer) for answer in exchange.answers)


def test_dialogues_alternate_and_never_give_an_answer_twice_in_a_row() -> None:
    random = Random(1)
    for _ in range(300):
        turns = compose(EXAMPLES, random).turns
        answers = turns[1::2]
        assert len(turns) % 2 == 0
        assert all(turns)
        assert all(a != b for a, b in pairwise(answers))


def test_the_same_seed_composes_the_same_dialogues() -> None:
    first, second = Random(7), Random(7)
    assert [compose(EXAMPLES, first) for _ in range(5)] == [
        compose(EXAMPLES, second) for _ in range(5)
    ]


def test_held_out_phrasings_are_never_asked_in_training() -> None:
    random = Random(2)
    for group in EXAMPLES.groups:
        chosen = choose_slots(EXAMPLES.slots, random)
        assert not is_probe(group.name, ask(group, chosen, random))
        held_out = ask_held_out(group, chosen, random)
        assert held_out is None or is_probe(group.name, held_out)


def test_capitals_and_marks_do_not_move_a_phrasing_across_the_split() -> None:
    assert is_probe("g", "How are you?") == is_probe("g", "how are you")


def test_slips_leave_short_questions_alone() -> None:
    typed = {type_like_people("hi", Random(seed)).lower().strip(" ?!.:)") for seed in range(200)}
    assert all(text.endswith("hi") for text in typed)
