"""The forty chats: how settings are compared, and that kept answers were read."""

import argparse
from collections import Counter
from pathlib import Path

import pytest

from bench.answers import records
from bench.answers.asking import Answered
from bench.answers.page import MARK, PAGE, answers_part
from bench.answers.prompts import Chat, Part, read_prompts
from bench.answers.records import Record, keep, kept
from bench.answers.tuning import BAD, Trial, trial_line
from bot.engine.base import FinishReason
from config.catalogue import BUILTIN, STARTER

CHAT = Chat(id="sun", kind="fact", part=Part.TUNING, turns=("How old is the sun?",))


def answered(text: str, reason: FinishReason = FinishReason.STOP, tokens: int = 10) -> Answered:
    return Answered(CHAT.turns[0], text, reason, tokens)


def test_twenty_chats_are_for_tuning_and_twenty_are_held_out() -> None:
    chats = read_prompts()
    assert Counter(chat.part for chat in chats) == {Part.TUNING: 20, Part.HELD_OUT: 20}
    assert len({chat.id for chat in chats}) == 40


def test_a_trial_names_sampling_parameters() -> None:
    trial = Trial.parse("top_k=4,exponential_decay_length_penalty=100/1.005")
    assert trial.changes == {"top_k": 4, "exponential_decay_length_penalty": (100, 1.005)}
    assert Trial.parse("default").changes == {}
    for wrong in ("warmth=1", "temperature", "temperature=hot", "top_k=1.5"):
        with pytest.raises(argparse.ArgumentTypeError, match="no sampling parameters"):
            Trial.parse(wrong)


def test_a_trials_line_counts_bad_endings_and_names_the_chats() -> None:
    good, long = answered("a", tokens=20), answered("b", FinishReason.LENGTH, 400)
    line = trial_line("m", Trial.parse("default"), [CHAT], [[[good]], [[long]]])
    assert "2 answers, repetition 0, length 1, time 0, error 0, mean 210 tokens" in line
    assert line.endswith("| sun (length)")


def test_a_judgement_stays_only_beside_the_answer_that_it_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    keep("m", [CHAT], [[answered("old")]])
    judged = Record(id="sun", answers=(answered("old"),), judgement="Right.")
    records.write("m", [judged])
    keep("m", [CHAT], [[answered("old")]])
    assert kept("m") == (judged,)
    keep("m", [CHAT], [[answered("new")]])
    assert kept("m")[0].judgement == ""


@pytest.mark.parametrize("model", [BUILTIN, STARTER])
def test_every_kept_answer_was_judged_and_ended_by_itself(model: str) -> None:
    found = kept(model)
    assert [record.id for record in found] == [chat.id for chat in read_prompts()]
    assert [record.id for record in found if not record.judgement] == []
    endings = {answer.reason for record in found for answer in record.answers}
    assert not endings & set(BAD)


def test_the_page_shows_the_kept_answers() -> None:
    _by_hand, _mark, below = PAGE.read_text("utf-8").partition(MARK)
    assert below == f"\n{answers_part()}"
