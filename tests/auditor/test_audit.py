"""What the auditor says of journals that are written by hand."""

from collections.abc import Sequence

from tests.auditor.audit import Asked, Forgotten, Verdict, audit
from tests.doubles.journal import Change, Written

FIRST = Asked("q00000a", "1", "ann", "general", 3, at=0.0)
SECOND = Asked("q00000b", "2", "ann", "general", 2, at=1.0)


def words(nonce: str, *numbers: int) -> str:
    return " ".join(f"{nonce}-{number}" for number in numbers)


def wrote(at: float, text: str, message_id: str = "m1", answers: str | None = "1") -> Written:
    return Written(at, Change.POSTED, message_id, "general", text, answers)


def verdicts(asked: Sequence[Asked], *journal: Written) -> set[Verdict]:
    return {*audit(asked, journal).counts}


def test_an_answer_whose_process_died_meanwhile_is_recovered() -> None:
    journal = [wrote(1.0, words(FIRST.nonce, 1)), wrote(5.0, words(FIRST.nonce, 1, 2, 3))]
    assert audit([FIRST], journal, deaths=[3.0]).of(Verdict.RECOVERED) == [FIRST.nonce]
    assert audit([FIRST], journal, deaths=[9.0]).of(Verdict.WHOLE) == [FIRST.nonce]


def test_an_answer_that_was_deleted_again_is_lost() -> None:
    deleted = Written(2.0, Change.DELETED, "m1", "general", "")
    assert verdicts([FIRST], wrote(1.0, words(FIRST.nonce, 1, 2, 3)), deleted) == {Verdict.LOST}


def test_an_honest_failure_waits_for_no_earlier_answer() -> None:
    busy = wrote(2.0, "I am busy.", "m2", "2")
    first = wrote(3.0, words(FIRST.nonce, 1, 2, 3))
    assert verdicts([FIRST, SECOND], busy, first) == {Verdict.WHOLE, Verdict.TOLD}
    second = wrote(2.0, words(SECOND.nonce, 1, 2), "m2", "2")
    assert verdicts([FIRST, SECOND], second, first) == {Verdict.WHOLE, Verdict.OUT_OF_ORDER}


def test_words_of_another_answer_are_misplaced_whatever_else_is_there() -> None:
    text = words(FIRST.nonce, 1, 2, 3) + " " + words(SECOND.nonce, 1)
    assert Verdict.MISPLACED in verdicts([FIRST, SECOND], wrote(2.0, text))


def test_after_forget_an_answer_may_shrink_and_not_grow() -> None:
    gone = [Forgotten("ann", at=2.0, asked_before=2.0)]
    before = wrote(1.0, words(FIRST.nonce, 1, 2))
    shorter = wrote(3.0, words(FIRST.nonce, 1))
    longer = wrote(3.0, words(FIRST.nonce, 1, 2, 3))
    assert not audit([FIRST], [before, shorter], forgotten=gone).of(Verdict.AFTER_FORGET)
    assert audit([FIRST], [before, longer], forgotten=gone).of(Verdict.AFTER_FORGET)
