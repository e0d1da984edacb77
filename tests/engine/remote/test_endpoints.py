"""Which server is asked next."""

from contextlib import ExitStack

import pytest

from bot.engine.remote.endpoints import (
    FAILURES_TO_OPEN,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    EndpointPool,
    NoEndpoint,
)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> EndpointPool:
    return EndpointPool(["http://a/v1", "http://b/v1", "http://c/v1"], clock)


def chosen(pool: EndpointPool, affinity: str = "x") -> str:
    with pool.lease(affinity) as endpoint:
        return endpoint.url


def test_each_new_request_goes_to_the_one_with_the_least_to_do(pool: EndpointPool) -> None:
    with ExitStack() as leases:
        urls = [leases.enter_context(pool.lease("x")).url for _ in range(6)]
    assert sorted(urls) == sorted([one.url for one in pool.endpoints] * 2)
    assert [one.active for one in pool.endpoints] == [0, 0, 0]


def test_of_idle_servers_one_keeps_a_conversation_and_all_get_some(pool: EndpointPool) -> None:
    assert len({chosen(pool, "one") for _ in range(5)}) == 1
    assert len({chosen(pool, str(number)) for number in range(50)}) == 3


def test_those_to_avoid_come_last(pool: EndpointPool) -> None:
    first, second, third = pool.endpoints
    with pool.lease("x", [first, second]) as endpoint:
        assert endpoint is third
    with pool.lease("x", pool.endpoints):
        pass


def test_failures_in_a_row_open_the_circuit_and_a_success_forgets_them(
    pool: EndpointPool, clock: Clock
) -> None:
    first = pool.endpoints[0]
    for _ in range(FAILURES_TO_OPEN - 1):
        pool.failed(first)
    pool.succeeded(first)
    pool.failed(first)
    assert not pool.is_resting(first)
    for _ in range(FAILURES_TO_OPEN - 1):
        pool.failed(first)
    assert pool.is_resting(first)
    assert first.url not in {chosen(pool, str(number)) for number in range(50)}
    clock.now_s += FIRST_PAUSE_S
    assert pool.is_due(first)


def test_one_that_cannot_be_reached_rests_at_once_and_longer_each_time(
    pool: EndpointPool, clock: Clock
) -> None:
    first = pool.endpoints[0]
    pauses: list[float] = []
    for _ in range(8):
        pool.failed(first, is_down=True)
        pauses.append(first.rests_until_s - clock.now_s)
        clock.now_s = first.rests_until_s
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_failed_trial_opens_the_circuit_again_at_once(pool: EndpointPool, clock: Clock) -> None:
    first = pool.endpoints[0]
    pool.failed(first, is_down=True)
    clock.now_s = first.rests_until_s
    pool.failed(first)
    assert first.rests_until_s - clock.now_s == 2 * FIRST_PAUSE_S


def test_after_its_pause_a_server_gets_one_request_on_trial(clock: Clock) -> None:
    pool = EndpointPool(["http://a/v1"], clock)
    only = pool.endpoints[0]
    pool.failed(only, is_down=True)
    with pytest.raises(NoEndpoint), pool.lease("x"):
        pass
    assert pool.wait_s == FIRST_PAUSE_S
    clock.now_s += FIRST_PAUSE_S
    with pool.lease("x"), pytest.raises(NoEndpoint), pool.lease("y"):
        pass
    pool.succeeded(only)
    with pool.lease("x"), pool.lease("y"):
        assert only.active == 2


def test_a_rest_that_was_asked_for_is_no_failure(pool: EndpointPool, clock: Clock) -> None:
    first = pool.endpoints[0]
    pool.rest(first, 3)
    assert pool.is_resting(first)
    clock.now_s += 3
    assert not pool.is_resting(first)
    assert not pool.is_due(first)
