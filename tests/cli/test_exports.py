"""What people think of answers, as JSON Lines."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.messages import Addressed, Author, ConversationRef, IncomingMessage, ReplyTarget
from bot.store.ports.comparisons import Contender, Vote
from bot.store.ports.ratings import Rating
from bot.store.ports.records import Answer, ReplyState
from bot.store.sql.store import SqlStore
from tests.cli.running import run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE = ConversationRef("test", "home", "general")


async def fill(folder: Path) -> None:
    """One rated answer that may be kept, and one vote on a comparison."""
    event = IncomingMessage(
        "q1", HERE, Author("ann", "Ann"), "why ü?", Addressed.MENTION, NOW, ReplyTarget("q1")
    )
    async with await SqlStore.open(folder) as store:
        message = await store.inbox.admit("test:bot", event, NOW)
        assert message is not None
        claim = await store.inbox.claim(message.id, "worker", NOW, NOW)
        assert claim is not None
        await store.inbox.save_answer(claim, Answer("because", model="small"))
        await store.inbox.finish(claim, ReplyState.ANSWERED, NOW)
        await store.ratings.rate("test:bot", "q1", "ann", Rating.BAD, NOW)
        await store.ratings.keep(message, NOW)
        answers = [Contender("small", "a"), Contender("large", "b")]
        await store.comparisons.save(message.id, answers, is_blind=True)
        round_ = await store.comparisons.find(message.id)
        assert round_ is not None
        vote = Vote("ann", ("small", "large"), "large", True, NOW)
        await store.comparisons.vote(round_, vote, reveals=True)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(folder))
    return folder


def test_feedback_is_an_evaluation_set_without_names(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(data))
    said = run(capsys, "feedback", "export")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out) == {
        "model": "small",
        "question": "why ü?",
        "answer": "because",
        "rating": "bad",
        "kept_at": "2026-01-01T00:00:00+00:00",
    }
    assert "ü" in said.out


def test_votes_are_written_to_a_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(fill(data))
    file = data / "votes.jsonl"
    said = run(capsys, "votes", "export", "--output", str(file))
    assert said.out == f"1 lines written to {file}.\n"
    assert json.loads(file.read_text()) == {
        "models": ["small", "large"],
        "winner": "large",
        "was_blind": True,
        "voted_at": "2026-01-01T00:00:00+00:00",
    }


def test_an_empty_database_gives_no_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "feedback", "export").out == ""


def test_a_file_that_cannot_be_written_is_told(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "feedback", "export", "-o", str(data / "no" / "folder"))
    assert said.code == 1
    assert "No such file" in said.err
