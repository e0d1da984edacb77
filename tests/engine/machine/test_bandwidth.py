"""How fast memory is read: what is measured, by a clock of the test."""

import pytest

from bot.engine.machine.bandwidth import BLOCK_BYTES, memory_bandwidth


@pytest.mark.parametrize("threads", [1, 3])
def test_the_fastest_pass_counts_and_measuring_ends_in_time(threads: int) -> None:
    times = iter([0.0, 1.0, 1.5, 1.6, 1.6, 1.7, 2.1])
    found = memory_bandwidth(threads, 2, lambda: next(times))
    assert found == pytest.approx(BLOCK_BYTES / 0.1, rel=1e-6)
    assert not list(times)
