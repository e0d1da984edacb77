"""One budget for all that is written to a channel."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bot.platforms.write_budget import MAX_PLACES, Pace


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def paced(limit: int = 5) -> tuple[Pace, Time]:
    time = Time()
    return Pace(limit, 5.0, time, time.sleep), time


async def post(pace: Pace, channel_id: int) -> None:
    """A post or a final edit that takes no time."""
    async with pace.turn(channel_id):
        pass


def passes(pace: Pace, channel_id: int, reply: str) -> bool:
    """A passing edit that takes no time; whether it was its turn."""
    with pace.passing(channel_id, reply) as may_show:
        return may_show


async def test_posts_and_final_edits_together_stay_within_the_budget() -> None:
    pace, time = paced()
    at: list[float] = []
    for _ in range(20):
        await post(pace, 1)
        at.append(time.now)

    assert at[:5] == [100.0] * 5
    assert all(later - earlier >= 5.0 for earlier, later in zip(at, at[5:], strict=False))


async def test_one_stream_in_one_channel_does_not_slow_another_channel() -> None:
    pace, time = paced()
    for _ in range(5):
        await post(pace, 1)
    await post(pace, 2)

    assert time.now == 100.0
    assert not passes(pace, 1, "a")
    assert passes(pace, 2, "b")


@given(st.integers(1, 10), st.floats(0.05, 0.4))
def test_replies_that_grow_in_one_channel_are_shown_equally_often(
    replies: int, step: float
) -> None:
    pace, time = paced()
    shown: Counter[int] = Counter()
    for number in range(int(120 / step)):
        time.now += step
        reply = number % replies
        shown[reply] += passes(pace, 1, f"m{reply}")

    assert max(shown.values()) - min(shown.values()) <= 2
    assert sum(shown.values()) <= 120 + 5


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 4)), max_size=200))
def test_passing_edits_never_go_over_the_budget(steps: list[tuple[float, int]]) -> None:
    pace, time = paced()
    at: list[float] = []
    for wait, reply in steps:
        time.now += wait
        if passes(pace, 1, str(reply)):
            at.append(time.now)

    assert all(later - earlier >= 5.0 for earlier, later in zip(at, at[5:], strict=False))


async def test_a_final_text_waits_for_no_passing_one() -> None:
    pace, time = paced(limit=2)
    assert passes(pace, 1, "a")
    assert not passes(pace, 1, "b")
    await post(pace, 1)

    assert time.now == 100.0


def test_the_budget_is_learned_from_the_headers() -> None:
    pace, time = paced()
    pace.learn(1, limit=3, remaining=0, reset_after_s=3.0)
    assert not passes(pace, 1, "a")
    time.now += 3.0
    assert [passes(pace, 1, reply) for reply in "abc"] == [True, True, False]


async def test_a_post_waits_until_the_headers_allow_it() -> None:
    pace, time = paced()
    pace.learn(1, limit=5, remaining=0, reset_after_s=2.5)
    await post(pace, 1)

    assert time.now == 102.5


def test_a_reply_that_ended_without_a_final_text_holds_nobody_up() -> None:
    pace, time = paced(limit=2)
    assert passes(pace, 1, "a")
    assert not passes(pace, 1, "b")
    time.now += 5.1
    assert passes(pace, 1, "a")


async def test_idle_channels_are_forgotten() -> None:
    pace, _ = paced()
    for channel in range(MAX_PLACES + 50):
        await post(pace, channel)

    assert len(pace) == MAX_PLACES


async def test_a_write_counts_from_its_end_since_nobody_knows_when_it_arrived() -> None:
    pace, time = paced(limit=1)
    async with pace.turn(1):
        time.now += 3.0
    await post(pace, 1)

    assert time.now == 108.0


async def test_a_write_under_way_takes_its_place() -> None:
    pace, time = paced(limit=2)
    async with pace.turn(1), pace.turn(1):
        assert not passes(pace, 1, "a")
        assert time.now == 100.0
