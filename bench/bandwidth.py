"""How fast this machine reads memory: the bound of a decode step, which reads every weight once.

`python -m bench.bandwidth` prints bytes a second, the fastest of several passes over more than any
cache holds: others on the machine take some of it.
"""

import time

import torch

BYTES = 2**29
PASSES = 30


def main() -> None:
    """Measure and print."""
    block = torch.ones(BYTES // 4, dtype=torch.float32)
    block.sum()
    rates: list[float] = []
    for _pass in range(PASSES):
        began_s = time.perf_counter()
        block.sum()
        rates.append(BYTES / (time.perf_counter() - began_s))
    print(max(rates))


if __name__ == "__main__":
    main()
