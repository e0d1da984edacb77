"""Lines from a pipe, a file or a bare terminal, read without a thread."""

import asyncio
import os
import signal
import stat
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

CHUNK_BYTES = 65_536
MAX_LINE_BYTES = 8_388_608
"""What is kept of one line; the core's own limit for a message is far below."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineSource(Protocol):
    """Where questions come from."""

    async def read_line(self) -> str | None:
        """The next line without its end; None when there are no more."""
        ...

    def listening(self, on_interrupt: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `on_interrupt` at each Ctrl-C while the block lasts."""
        ...

    async def undisturbed(self, write: Callable[[], None]) -> None:
        """Run `write`, which prints, with the prompt out of its way."""
        ...


class DescriptorLines:
    """The lines of a file descriptor. `before_read` is called ahead of each (a prompt).

    Bytes that are no UTF-8 become U+FFFD, after `on_undecodable` was called for the first of them.
    """

    def __init__(
        self,
        descriptor: int,
        before_read: Callable[[], None] = lambda: None,
        on_undecodable: Callable[[], None] = lambda: None,
    ) -> None:
        self._descriptor = descriptor
        self._before_read = before_read
        self._on_undecodable = on_undecodable
        self._buffer = bytearray()
        self._is_at_start = True
        self._is_at_end = False

    async def read_line(self) -> str | None:
        """The next line without its end; None when there are no more."""
        self._before_read()
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and not self._is_at_end:
            searched = len(self._buffer)
            await self._fill()
        if end < 0 and not self._buffer:
            return None
        end = len(self._buffer) if end < 0 else end
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return self._decode(line)

    def listening(self, on_interrupt: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `on_interrupt` at each SIGINT: Ctrl-C comes as that where the keyboard is not ours.

        While a line is awaited it ends the input.
        """
        return _interrupts(on_interrupt)

    async def undisturbed(self, write: Callable[[], None]) -> None:
        """There is no prompt in the way."""
        write()

    async def _fill(self) -> None:
        chunk = self._read() if await self._readable() else b""
        if chunk is None:
            return
        self._is_at_end = not chunk
        if len(self._buffer) >= MAX_LINE_BYTES:
            # The line is too long to be answered anyway: keep its beginning and find its end.
            chunk = b"\n" + chunk.partition(b"\n")[2] if b"\n" in chunk else b""
        self._buffer += chunk

    def _read(self) -> bytes | None:
        """What is there to read; nothing at the end, None if there is nothing just now."""
        try:
            return os.read(self._descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return None  # Another reader of the same pipe was faster.
        except OSError:
            return b""  # The terminal hung up, or it is a folder.

    async def _readable(self) -> bool:
        """Wait for something to read; False if there came an interrupt instead."""
        mode = os.fstat(self._descriptor).st_mode
        can_keep_waiting = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if not can_keep_waiting and not os.isatty(self._descriptor):
            return True  # A file is always readable, and epoll refuses it.
        loop = asyncio.get_running_loop()
        is_readable: asyncio.Future[bool] = loop.create_future()
        loop.add_reader(self._descriptor, _resolve, is_readable, True)
        try:
            with _interrupts(partial(_resolve, is_readable, False)):
                return await is_readable
        finally:
            loop.remove_reader(self._descriptor)

    def _decode(self, line: bytes) -> str:
        if self._is_at_start:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_at_start = False
        try:
            return line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            self._on_undecodable()
            self._on_undecodable = lambda: None
            return line.decode(errors="replace")


def _resolve(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)


@contextmanager
def _interrupts(call: Callable[[], None]) -> Generator[None, None, None]:
    """Call `call` at each SIGINT while the block lasts."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, call)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
