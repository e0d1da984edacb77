"""How fast this machine reads memory, with as many threads as torch takes.

`python -m bench.bandwidth` prints bytes a second, the fastest pass of three seconds.
"""

import torch

from bot.engine.machine.bandwidth import memory_bandwidth


def main() -> None:
    """Measure and print."""
    print(memory_bandwidth(torch.get_num_threads(), 3))


if __name__ == "__main__":
    main()
