"""Connections in memory between the bot's HTTP clients and the loopback platforms.

What is written arrives whole and in order, after a delay that the seed decides.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any

import aiohappyeyeballs
from typing_extensions import override

from tests.simulator.virtual_loop import PROCESS, VirtualLoop

MIN_DELAY_S, MAX_DELAY_S = 0.001, 0.03
SLOW, MAX_SLOW_DELAY_S = 0.02, 0.5
"""So many deliveries take longer, up to so long."""

Factory = Callable[[], Any]


class MemoryTransport(asyncio.Transport):
    """One end of a connection; `peer` is the other one."""

    def __init__(self, loop: "NetworkedLoop", protocol: Any, context: Context) -> None:
        super().__init__()
        self.protocol: Any = protocol
        self.peer: MemoryTransport
        self.context = context
        self._loop = loop
        self._is_closed = False
        self._is_paused = False
        self._held: list[bytes] = []
        self._last_due = 0.0
        self._on_way: list[asyncio.TimerHandle] = []

    @property
    def process(self) -> int | None:
        """The process that this end belongs to."""
        return self.context.get(PROCESS)

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closed:
            self._loop.step(self.process)
            self._later(self.peer.receive, bytes(data))

    @override
    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._later(self.peer.end, None)
            self._loop.call_soon(self.protocol.connection_lost, None, context=self.context)

    @override
    def abort(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._later(self.peer.end, ConnectionResetError())
            self._loop.call_soon(self.protocol.connection_lost, None, context=self.context)

    def die(self) -> None:
        """The process is gone: nobody here learns of it, and the other end does."""
        if not self._is_closed:
            self._is_closed = True
            # What stands still on its way is lost with it.
            if self._last_due > self._loop.time() + MAX_SLOW_DELAY_S:
                for one in self._on_way:
                    one.cancel()
            self._later(self.peer.end, None)

    def hold_back(self, seconds: float) -> None:
        """What is written from now on arrives so much later."""
        self._last_due = max(self._last_due, self._loop.time()) + seconds

    def receive(self, data: bytes) -> None:
        """Something arrives."""
        if self._is_paused:
            self._held.append(data)
        elif not self._is_closed:
            self.protocol.data_received(data)

    def end(self, error: Exception | None) -> None:
        """The other end has closed."""
        if self._is_closed:
            return
        if error is None:
            self.protocol.eof_received()
        self._is_closed = True
        self.protocol.connection_lost(error)

    def _later(self, arrive: Callable[[Any], None], what: object) -> None:
        due = max(self._last_due + 1e-6, self._loop.time() + self._loop.delay_s())
        self._last_due = due
        self._on_way = [one for one in self._on_way if one.when() > self._loop.time()]
        self._on_way.append(self._loop.call_at(due, arrive, what, context=self.peer.context))

    @override
    def pause_reading(self) -> None:
        self._is_paused = True

    @override
    def resume_reading(self) -> None:
        self._is_paused = False
        held, self._held = self._held, []
        for data in held:
            self.receive(data)

    @override
    def is_reading(self) -> bool:
        return not self._is_paused

    @override
    def is_closing(self) -> bool:
        return self._is_closed

    @override
    def get_write_buffer_size(self) -> int:
        return 0

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    @override
    def get_protocol(self) -> Any:
        return self.protocol

    @override
    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol


class _Server:
    """What listens on a port."""

    def __init__(self, sock: Any, close: Callable[[], object]) -> None:
        self.sockets = (sock,)
        self.close = close

    async def wait_closed(self) -> None:
        """It has."""


class NetworkedLoop(VirtualLoop):
    """The virtual loop with connections in memory."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._servers: dict[int, tuple[Factory, Context]] = {}
        self._transports: list[MemoryTransport] = []
        self._steps_left = 0
        self._after_steps: Callable[[], object] = int

    def delay_s(self) -> float:
        """How long something is on its way."""
        is_slow = self._chance.random() < SLOW
        return self._chance.uniform(MIN_DELAY_S, MAX_SLOW_DELAY_S if is_slow else MAX_DELAY_S)

    def stall(self, seconds: float) -> None:
        """Hold back, for so long, what is written to one of the connections."""
        if living := [one for one in self._transports if not one.is_closing()]:
            self._chance.choice(living).hold_back(seconds)

    def after_steps(self, number: int, call: Callable[[], object]) -> None:
        """Call something right after so many more writes, and statements, of a process."""
        self._steps_left, self._after_steps = number, call

    def step(self, process: int | None) -> None:
        """A process has written something. What it goes on to do at once, it still does."""
        if process is not None and self._steps_left:
            self._steps_left -= 1
            if self._steps_left == 0:
                self.call_soon(self._after_steps, context=Context())

    @override
    async def create_server(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, protocol_factory: Factory, *, sock: Any, **named: Any
    ) -> Any:
        port = sock.getsockname()[1]
        self._servers[port] = (protocol_factory, copy_context())
        return _Server(sock, lambda: self._servers.pop(port, None))

    @override
    async def create_connection(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, protocol_factory: Factory, *, sock: int, **named: Any
    ) -> Any:
        """Connect to a port that `start_connection` has named in place of a socket."""
        await asyncio.sleep(self.delay_s())
        if sock not in self._servers:
            raise ConnectionRefusedError
        factory, context = self._servers[sock]
        here = MemoryTransport(self, protocol_factory(), copy_context())
        there = MemoryTransport(self, context.copy().run(factory), context)
        here.peer, there.peer = there, here
        self._transports = [one for one in self._transports if not one.is_closing()]
        self._transports += [here, there]
        here.protocol.connection_made(here)
        self.call_soon(there.protocol.connection_made, there, context=context)
        return here, here.protocol

    @override
    def kill(self, process: int) -> None:
        super().kill(process)
        for transport in self._transports:
            if transport.process == process:
                transport.die()


async def _port(addr_infos: Sequence[Any], **named: object) -> int:
    """The port of an address, which stands for a connection to it."""
    del named
    return addr_infos[0][4][1]


def use_memory() -> None:
    """Let aiohttp's clients connect through the loop alone."""
    aiohappyeyeballs.start_connection = _port
