"""The list of planted bugs fits the source, and a bug that no test notices is told."""

from pathlib import Path

import pytest

from scripts.planted_bugs import LIST, Bug, chosen, outcome, planted, read_bugs
from scripts.requirements import ROOT

BUGS = read_bugs(LIST.read_text("utf-8"))


def test_there_are_forty_in_many_rooms() -> None:
    assert len(BUGS) >= 40
    assert len({str(Path(bug.file).parent) for bug in BUGS}) >= 15


def test_each_is_in_the_source_once_and_changes_it() -> None:
    unfit = [bug.title for bug in BUGS if (ROOT / bug.file).read_text("utf-8").count(bug.old) != 1]
    assert unfit == []
    assert [bug.title for bug in BUGS if bug.old == bug.new] == []


def test_the_tests_that_should_notice_them_are_there() -> None:
    assert [test for bug in BUGS for test in bug.tests if not (ROOT / test).exists()] == []


def test_words_choose_by_path() -> None:
    assert {bug.file for bug in chosen(BUGS, ["quotas"])} == {"bot/policy/quotas.py"}
    assert chosen(BUGS, []) == BUGS


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A source of one line, and a test of it."""
    (tmp_path / "source.py").write_text("EVEN = 4\n")
    text = "from source import EVEN\n\ndef test_it_is_even() -> None:\n    assert EVEN % 2 == 0\n"
    (tmp_path / "test_source.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("new", "test", "expected"),
    [
        ("EVEN = 3", "test_source.py", "caught"),
        ("EVEN = 6", "test_source.py", "NOT CAUGHT"),
        ("EVEN = 3", "test_nothing.py", "did not run"),
    ],
)
def test_only_a_test_that_fails_has_caught_it(
    copy: Path, new: str, test: str, expected: str
) -> None:
    assert outcome(Bug("source.py", "EVEN = 4", new, (test,)), copy).startswith(expected)
    assert (copy / "source.py").read_text() == "EVEN = 4\n"


def test_a_text_that_is_not_there_is_refused(copy: Path) -> None:
    bug = Bug("source.py", "ODD", "EVEN", ())
    with pytest.raises(ValueError, match="not there once"), planted(bug, copy):
        pass
