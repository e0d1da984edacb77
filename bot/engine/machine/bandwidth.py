"""How fast this machine reads memory: the bound of a decode step, which reads every weight once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK_BYTES = 256 << 20
"""More than most processors' caches hold."""

MEASURE_S = 0.5

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]


def memory_bandwidth(
    threads: int, measure_s: float = MEASURE_S, monotonic: Callable[[], float] = time.perf_counter
) -> float:
    """Bytes a second that so many threads read together: the fastest of the passes that fit into
    `measure_s`, and at least one. Others on the machine take some of it."""
    began_s = monotonic()
    blocks = [np.ones(BLOCK_BYTES // threads // 8) for _ in range(threads)]
    fastest = 0.0
    with ThreadPoolExecutor(threads) as pool:
        while not fastest or monotonic() - began_s < measure_s:
            fastest = max(fastest, _bytes_per_s(pool, blocks, monotonic))
    return fastest


def _bytes_per_s(
    pool: ThreadPoolExecutor, blocks: list[Numbers], monotonic: Callable[[], float]
) -> float:
    began_s = monotonic()
    for _sum in pool.map(np.sum, blocks):  # numpy lets go of the interpreter's lock meanwhile
        pass
    took_s = max(monotonic() - began_s, 1e-9)
    return sum(block.nbytes for block in blocks) / took_s
