"""However and wherever a process is killed, each message is answered exactly once."""

import multiprocessing
from pathlib import Path

import pytest

from tests.doubles.scripted import Platform
from tests.e2e import killed

KILLED = 9
CHUNKS = 8

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["tests.e2e.killed"])


def serve(folder: Path, at: int | None = None, *, is_after: bool = False) -> int | None:
    process = context.Process(target=killed.run, args=(folder, at, is_after))
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the process hangs"
    return process.exitcode


def check_answered_once(folder: Path, where: str) -> None:
    platform = Platform(folder / "platform.jsonl", killed.MAX_CHARS)
    for target in killed.TARGETS:
        messages = platform.messages(target)
        keys = [message.key for message in messages]
        assert len(set(keys)) == len(keys), f"{where}: {target} was answered twice"
        assert [message.index for message in messages] == list(range(len(messages))), where
        assert [message.is_last for message in messages].count(True) == 1, f"{where}: {target}"
        assert all(message.is_complete and not message.is_error for message in messages), where
    for target, text in [("a1", "first of Ann"), ("b1", "first of Ben"), ("a2", "second of Ann")]:
        said = platform.answer(target)
        assert said == f"You asked: {text}. This is why I answer at some length.", where


def test_an_undisturbed_process_answers_everything(tmp_path: Path) -> None:
    assert serve(tmp_path) == 0
    check_answered_once(tmp_path, "undisturbed")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_process_killed_at_any_call_leaves_each_message_answered_once(
    tmp_path: Path, chunk: int, is_after: bool
) -> None:
    at = chunk + 1
    while True:
        folder = tmp_path / str(at)
        folder.mkdir()
        code = serve(folder, at, is_after=is_after)
        if code == 0:
            assert at > 40, "the script makes too few calls to prove anything"
            return
        assert code == KILLED
        assert serve(folder) == 0
        check_answered_once(folder, f"killed {'after' if is_after else 'before'} call {at}")
        at += CHUNKS
