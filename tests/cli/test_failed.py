"""`fireside failed`: what was given up, and another try."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.store.ports.records import Answer, ReplyState
from bot.store.sql.store import SqlStore
from tests.cli.running import run
from tests.doubles.scripted import ACCOUNT, question

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def fill(folder: Path) -> None:
    """One that killed two processes, one that the platform refused, one that was told an error."""
    async with await SqlStore.open(folder) as store:
        for name in ("killed", "refused", "told", "fine"):
            message = await store.inbox.admit(ACCOUNT, question("secret", name), NOW)
            assert message is not None
            if name == "killed":
                for _ in range(2):
                    await store.inbox.claim(message.id, "dead", NOW, NOW + timedelta(minutes=1))
                    await store.recovery.take_over(ACCOUNT)
            claim = await store.inbox.claim(message.id, "worker", NOW, NOW)
            assert claim is not None
            is_error = name in {"killed", "told"}
            await store.inbox.save_answer(claim, Answer("what was said", is_error=is_error))
            state = ReplyState.ANSWERED if name == "fine" else ReplyState.FAILED
            await store.inbox.finish(claim, state, NOW)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(folder))
    asyncio.run(fill(folder))
    return folder


def test_what_was_given_up_is_listed_without_what_it_says(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "failed", "list")
    assert (said.code, said.err) == (0, "")
    _head, *rows = said.out.splitlines()
    assert [row.split("\t")[-1] for row in rows] == [
        "the platform refused the answer",
        "the process died twice on it",
    ]
    assert "secret" not in said.out
    assert "what was said" not in said.out


def test_a_retry_makes_it_wait_for_its_answer_again(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def waiting() -> list[str]:
        async with await SqlStore.open(data) as store:
            found = await store.recovery.unanswered(ACCOUNT, datetime.now(UTC))
            return [one.event.id for one in found]

    assert run(capsys, "failed", "retry", "1").code == 0
    assert asyncio.run(waiting()) == ["killed"]
    assert run(capsys, "failed", "retry", "all").out.startswith("1 to be answered again")
    assert asyncio.run(waiting()) == ["killed", "refused"]
    assert run(capsys, "failed", "list").out == "No message was given up.\n"


@pytest.mark.parametrize("which", ["4", "999", "x"])
def test_what_was_not_given_up_is_said_in_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    said = run(capsys, "failed", "retry", which)
    assert said.code == 2
    assert "fireside failed list" in said.err


def test_doctor_says_how_many_were_given_up(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "messages: 2 were given up. See `fireside failed list`" in run(capsys, "doctor").out
