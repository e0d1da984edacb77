"""Which messages are meant, and how a conversation is taken apart."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.message_span import (
    MAX_PIECE_MESSAGES,
    Span,
    dialogue,
    pieces,
    since_own,
    source_of,
    span,
)
from bot.errors import UsageError
from bot.messages import PastMessage
from tests.doubles.scripted import ANN, BEN, START

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


def said(number: int, text: str = "hello", author: str = "ann") -> PastMessage:
    member = ANN if author == "ann" else BEN
    return PastMessage(str(number), member, text, START + timedelta(minutes=number))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Span(50)),
        ("20", Span(20)),
        ("last 20", Span(20)),
        ("2h", Span(since=NOW - timedelta(hours=2))),
        ("since 90 m", Span(since=NOW - timedelta(minutes=90))),
        ("3d", Span(since=NOW - timedelta(days=3))),
        ("12:00", Span(since=NOW.replace(minute=0))),
        ("14:00", Span(since=NOW.replace(day=30, hour=14, minute=0))),
        ("2026-01-30", Span(since=datetime(2026, 1, 30, tzinfo=UTC))),
        ("2026-01-30 10:00", Span(since=datetime(2026, 1, 30, 10, tzinfo=UTC))),
        ("Mine", Span(is_since_mine=True)),
        ("message:77", Span(since_id="77")),
    ],
)
def test_what_is_meant(text: str | None, expected: Span) -> None:
    assert span(text, NOW, is_in_thread=False) == expected


def test_in_a_thread_all_of_it_is_meant() -> None:
    assert span(None, NOW, is_in_thread=True) == span("thread", NOW, is_in_thread=True) == Span()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "from 1 to 300, not 0"),
        ("301", "from 1 to 300"),
        ("9" * 5000, "from 1 to 300"),
        ("thread", "This is no thread"),
        ("yesterday", "I do not understand WHAT"),
        ("25:00", "I do not understand WHAT"),
        ("2026-02-01", "still to come"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        span(text, NOW, is_in_thread=False)


@given(st.text(max_size=40))
def test_any_text_is_a_span_or_a_told_error(text: str) -> None:
    with suppress(UsageError):
        assert span(text, NOW, is_in_thread=False).count >= 1


@given(st.lists(st.text(max_size=80), max_size=40), st.integers(20, 400))
def test_pieces_lose_nothing_and_fit(texts: list[str], room: int) -> None:
    messages = [said(number, text) for number, text in enumerate(texts)]
    found = pieces(messages, room)
    assert [one for piece in found for one in piece] == messages
    for piece in found:
        assert 1 <= len(piece) <= MAX_PIECE_MESSAGES
        assert len(piece) == 1 or len(dialogue(piece)) <= room


def test_since_ones_own_last_message() -> None:
    messages = [said(1), said(2, author="ben"), said(3), said(4, author="ben")]
    assert [one.id for one in since_own(messages, "ann")] == ["4"]
    assert [one.id for one in since_own(messages, "cleo")] == ["1", "2", "3", "4"]


def test_the_source_of_a_point_shares_its_words() -> None:
    messages = [said(1, "lunch?"), said(2, "the train leaves at nine"), said(3, "fine")]
    assert source_of("A train will leave at nine.", messages).id == "2"
    assert source_of("Nothing in common", messages).id == "1"
