"""What is kept of answers for /inspect, and for how long."""

from datetime import UTC, datetime

from bot.engine.base import Usage
from bot.flow.inspection import MAX_KEPT, Inspection, Inspections

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def answer(model: str) -> Inspection:
    return Inspection(model, "Ann", NOW, Usage(), 1.0)


def test_the_latest_answer_takes_the_place_of_the_one_before() -> None:
    kept = Inspections(NOW)
    kept.keep("here", "ann", answer("one"))
    kept.keep("here", "ben", answer("two"))
    kept.keep("here", "ann", answer("three"))
    assert kept.of("here", "ann") == kept.latest("here") == answer("three")
    assert kept.of("here", "ben") == answer("two")
    assert kept.latest("there") is None


def test_the_oldest_goes_where_there_are_too_many() -> None:
    kept = Inspections(NOW)
    for number in range(MAX_KEPT + 1):
        kept.keep(f"channel {number}", "ann", answer("small"))
    assert kept.of("channel 0", "ann") is None
    assert kept.of("channel 1", "ann") is not None


def test_a_conversation_is_forgotten_with_those_below_it() -> None:
    kept = Inspections(NOW)
    for key in ("a/b", "a/b/thread", "a/bc"):
        kept.keep(key, "ann", answer("small"))
    kept.forget("a/b")
    assert [key for key in ("a/b", "a/b/thread", "a/bc") if kept.latest(key)] == ["a/bc"]
