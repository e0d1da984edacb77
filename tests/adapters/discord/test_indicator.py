""" "... is typing" is renewed while work goes on, once for all answers in a channel."""

import asyncio

from adapters.discord.indicator import RENEW_S, TypingSigns
from bot.concurrency import beside
from bot.errors import PlatformError

CHANNEL = 1


class Signs:
    """A clock that moves with each pause, and what was shown when."""

    def __init__(self, *, is_refused: bool = False) -> None:
        self.now_s = 0.0
        self.shown: list[tuple[int, float]] = []
        self.is_over = asyncio.Event()
        self._is_refused = is_refused
        self.signs = TypingSigns(self._show, lambda: self.now_s, self._pause)

    async def _show(self, channel_id: int) -> None:
        if self._is_refused:
            raise PlatformError("not allowed")
        self.shown.append((channel_id, self.now_s))

    async def _pause(self, seconds: float) -> None:
        if self.now_s + seconds > 3 * RENEW_S:
            self.is_over.set()
            await asyncio.Event().wait()
        self.now_s += seconds


async def test_it_is_shown_at_once_and_renewed_before_it_ends() -> None:
    double = Signs()
    async with beside(double.signs.show(CHANNEL), is_joined=False):
        await double.is_over.wait()

    assert double.shown == [(CHANNEL, number * RENEW_S) for number in range(4)]


async def test_two_answers_in_one_channel_show_it_as_often_as_one() -> None:
    double = Signs()
    async with (
        beside(double.signs.show(CHANNEL), is_joined=False),
        beside(double.signs.show(CHANNEL), is_joined=False),
    ):
        await double.is_over.wait()

    times = [time_s for _, time_s in double.shown]
    assert len(times) == len(set(times))


async def test_a_channel_that_refuses_it_costs_no_answer() -> None:
    double = Signs(is_refused=True)
    async with beside(double.signs.show(CHANNEL), is_joined=False):
        await asyncio.sleep(0)

    assert double.shown == []
