"""Several servers of one model: which is asked next, and which is left alone for a while.

Pure: it opens no connection. Least loaded first; a server that fails is passed over until its pause
is over, and then tried with one request alone (the circuit breaker's half-open state).
"""

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from zlib import crc32

from bot.errors import Signal

FAILURES_TO_OPEN = 3
"""Failures in a row after which a server is passed over; one that cannot be reached is at once."""

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
"""The pause doubles with every failed trial."""


class NoEndpoint(Signal):
    """Every server is being passed over."""


@dataclass(eq=False, slots=True)
class Endpoint:
    """One server: how many requests run there, failures in a row, and until when it is left alone.

    `rests_until_s` is on the pool's clock.
    """

    url: str
    active: int = 0
    failures: int = 0
    pauses: int = 0
    rests_until_s: float = 0.0


class EndpointPool:
    """The servers of one model. `monotonic` gives seconds."""

    def __init__(self, urls: Sequence[str], monotonic: Callable[[], float]) -> None:
        self.endpoints = tuple(Endpoint(url) for url in urls)
        self._monotonic = monotonic

    @contextmanager
    def lease(self, affinity: str, avoid: Collection[Endpoint] = ()) -> Generator[Endpoint]:
        """The server to ask, counted as busy for as long as the block lasts.

        Of equally loaded servers one and the same gets all requests with this `affinity`, so that
        what it keeps of a conversation is used again. Those to `avoid` come last. Raises
        `NoEndpoint`.
        """
        endpoint = self._choose(affinity, avoid)
        endpoint.active += 1
        try:
            yield endpoint
        finally:
            endpoint.active -= 1

    @property
    def wait_s(self) -> float:
        """How long until one of them may be asked."""
        now_s = self._monotonic()
        return max(0.0, min(one.rests_until_s - now_s for one in self.endpoints))

    def is_resting(self, endpoint: Endpoint) -> bool:
        """Whether it is passed over now."""
        return self._monotonic() < endpoint.rests_until_s

    def is_due(self, endpoint: Endpoint) -> bool:
        """Whether its pause is over and nobody has tried it since."""
        return endpoint.pauses > 0 and not self.is_resting(endpoint) and endpoint.active == 0

    def succeeded(self, endpoint: Endpoint) -> None:
        """It answered: whatever was held against it is forgotten."""
        endpoint.failures = endpoint.pauses = 0
        endpoint.rests_until_s = 0.0

    def failed(self, endpoint: Endpoint, *, is_down: bool = False) -> None:
        """It failed; `is_down` says that it could not be reached at all."""
        endpoint.failures += 1
        if is_down or endpoint.pauses > 0 or endpoint.failures >= FAILURES_TO_OPEN:
            pause_s = min(FIRST_PAUSE_S * 2**endpoint.pauses, LONGEST_PAUSE_S)
            endpoint.pauses += 1
            self.rest(endpoint, pause_s)

    def rest(self, endpoint: Endpoint, seconds: float) -> None:
        """Leave it alone for so long, because it asked for that or because it fails."""
        endpoint.rests_until_s = max(endpoint.rests_until_s, self._monotonic() + seconds)

    def _choose(self, affinity: str, avoid: Collection[Endpoint]) -> Endpoint:
        usable = [one for one in self.endpoints if self._is_usable(one)]
        if not usable:
            raise NoEndpoint

        def rank(endpoint: Endpoint) -> tuple[bool, bool, int, int]:
            place = crc32(f"{affinity} {endpoint.url}".encode())
            return endpoint in avoid, endpoint.pauses > 0, endpoint.active, place

        return min(usable, key=rank)

    def _is_usable(self, endpoint: Endpoint) -> bool:
        is_on_trial = endpoint.pauses > 0 and endpoint.active > 0
        return not self.is_resting(endpoint) and not is_on_trial
