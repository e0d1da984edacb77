"""Lines from pipes and files: all of them, whole, whatever bytes they are made of."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.console.lines import MAX_LINE_BYTES, DescriptorLines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # The test closed it.


async def everything(lines: DescriptorLines) -> list[str]:
    found: list[str] = []
    while (line := await lines.read_line()) is not None:
        found.append(line)
    return found


def lines_of_file(path: Path, content: bytes) -> DescriptorLines:
    path.write_bytes(content)
    return DescriptorLines(os.open(path, os.O_RDONLY))


async def test_lines_come_as_they_are_written_to_a_pipe(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = DescriptorLines(reading)
    os.write(writing, b"one\ntw")
    assert await lines.read_line() == "one"
    later = asyncio.create_task(lines.read_line())
    await asyncio.sleep(0)
    assert not later.done()
    os.write(writing, b"o\n\nlast")
    assert await later == "two"
    os.close(writing)
    assert await everything(lines) == ["", "last"]


async def test_waiting_for_a_line_can_be_cancelled(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = DescriptorLines(reading)
    waiting = asyncio.create_task(lines.read_line())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.write(writing, b"after all\n")
    assert await lines.read_line() == "after all"


async def test_ctrl_c_while_a_line_is_awaited_ends_the_input(pipe: tuple[int, int]) -> None:
    handler = signal.getsignal(signal.SIGINT)
    lines = DescriptorLines(pipe[0])
    waiting = asyncio.create_task(lines.read_line())
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGINT)

    assert await waiting is None
    assert signal.getsignal(signal.SIGINT) is handler


async def test_ctrl_c_while_an_answer_is_made_is_heard(pipe: tuple[int, int]) -> None:
    heard = asyncio.Event()
    with DescriptorLines(pipe[0]).listening(heard.set):
        signal.raise_signal(signal.SIGINT)
        assert await asyncio.wait_for(heard.wait(), 10)


async def test_a_pipe_that_somebody_else_emptied_is_waited_for_again(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = pipe
    read, stolen = os.read, [True]

    def read_late(descriptor: int, size: int) -> bytes:
        if stolen:
            stolen.pop()
            raise BlockingIOError
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", read_late)
    os.write(writing, b"mine\n")

    assert await DescriptorLines(reading).read_line() == "mine"
    assert not stolen


async def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    lines = lines_of_file(tmp_path / "questions", b"\xef\xbb\xbfone\r\ntwo\n" + b"x" * 200_000)

    assert await everything(lines) == ["one", "two", "x" * 200_000]


@pytest.mark.parametrize("place", [os.devnull, "."])
async def test_where_there_is_nothing_to_read_there_are_no_lines(place: str) -> None:
    lines = DescriptorLines(os.open(place, os.O_RDONLY))

    assert await lines.read_line() is None


async def test_bytes_that_are_no_text_are_replaced_and_told_once(tmp_path: Path) -> None:
    told: list[bool] = []
    path = tmp_path / "binary"
    path.write_bytes(b"caf\xe9\n\xff\xfe\x00\nfine\n")
    lines = DescriptorLines(os.open(path, os.O_RDONLY), on_undecodable=lambda: told.append(True))

    assert await everything(lines) == ["caf\ufffd", "\ufffd\ufffd\x00", "fine"]
    assert told == [True]


async def test_an_endless_line_keeps_its_beginning_and_the_next_line_follows(
    tmp_path: Path,
) -> None:
    content = b"x" * (MAX_LINE_BYTES + 300_000) + b"\nnext\n"
    first, second = await everything(lines_of_file(tmp_path / "endless", content))

    assert MAX_LINE_BYTES <= len(first) < MAX_LINE_BYTES + 100_000
    assert second == "next"


async def test_each_line_is_asked_for(tmp_path: Path) -> None:
    asked: list[bool] = []
    path = tmp_path / "questions"
    path.write_bytes(b"one\n")
    lines = DescriptorLines(os.open(path, os.O_RDONLY), lambda: asked.append(True))

    assert await everything(lines) == ["one"]
    assert len(asked) == 2
