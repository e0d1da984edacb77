"""Ratings from votes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.comparison.leaderboard import standings, table
from bot.store.ports.comparisons import Vote

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def vote(winner: str | None, *models: str, was_blind: bool = False) -> Vote:
    return Vote("ann", models, winner, was_blind, NOW)


def test_who_wins_more_stands_higher_by_what_the_odds_say() -> None:
    first, second = standings([vote("a", "a", "b")] * 9 + [vote("b", "a", "b")] * 0)
    assert (first.model, first.wins, first.votes) == ("a", 9, 9)
    # 9.5 to 0.5 with the drawn vote that each pair starts with.
    assert first.rating - second.rating == pytest.approx(400 * 1.2787536, abs=0.01)


def test_a_tie_is_half_a_win_for_each() -> None:
    one, other = standings([vote(None, "a", "b"), vote(None, "a", "b")])
    assert one.rating == other.rating == pytest.approx(1000)
    assert (one.wins, one.ties) == (0, 2)


def test_beating_the_strong_counts_more_than_beating_the_weak() -> None:
    votes = [vote("strong", "strong", "weak")] * 5
    votes += [vote("x", "x", "strong"), vote("y", "y", "weak")]
    ratings = {one.model: one.rating for one in standings(votes)}
    assert ratings["x"] > ratings["y"]


@given(
    st.lists(
        st.lists(st.sampled_from("abcdef"), min_size=2, max_size=4, unique=True).flatmap(
            lambda models: st.sampled_from([*models, None]).map(
                lambda winner: vote(winner, *models)
            )
        ),
        min_size=1,
        max_size=30,
    )
)
def test_every_model_that_met_another_has_a_finite_rating(votes: list[Vote]) -> None:
    ranked = standings(votes)
    assert {one.model for one in ranked} == {model for one in votes for model in one.models}
    assert all(-10_000 < one.rating < 10_000 for one in ranked)
    assert sum(one.wins for one in ranked) == sum(one.winner is not None for one in votes)


def test_the_table_lines_up() -> None:
    votes = [vote("flan-t5-base", "flan-t5-base", "fireside", was_blind=True)]
    lines = table(standings(votes), votes).splitlines()
    assert lines[1] == "#  model         rating  won  ties  votes"
    assert lines[2] == "1  flan-t5-base    1095    1     0      1"
    assert lines[-1].startswith("1 vote, 1 of them blind.")
