"""`python -m bench.loading_memory MODEL FOLDER [8|4] [exact]`: what loading a model takes at most.

Memory that no file stands behind (RssAnon of Linux), above what the process had before: pages of a
file that is read can be dropped at any time. FOLDER keeps random weights.
"""

import re
import sys
import threading
from pathlib import Path

import torch

from bench.checkpoints import make
from bench.loaded import loaded
from bot.engine.kernels.packing import is_packed_faster
from bot.engine.machine.memory import return_freed_memory

INTERVAL_S = 0.002
MIB = 1 << 20


def main() -> None:
    """Load one model and print a line."""
    name, folder, *rest = sys.argv[1:]
    weights = make(name, Path(folder))
    bits = next((int(word) for word in rest if word.isdigit()), None)
    for dtype in (torch.bfloat16, torch.float32):
        is_packed_faster(dtype)
    return_freed_memory()
    before = own_bytes()
    highest, is_over = before, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not is_over.wait(INTERVAL_S):
            highest = max(highest, own_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        checkpoint = loaded(name, weights, exact="exact" in rest, bits=bits)
    finally:
        is_over.set()
        watching.join()
    return_freed_memory()
    blueprint = checkpoint.blueprint
    print(
        f"{name}, {checkpoint.kernel}: at most {(highest - before) / MIB:.0f} MiB while loading, "
        f"then {(own_bytes() - before) / MIB:.0f}; reckoned with "
        f"{blueprint.loading_bytes / MIB:.0f} and {blueprint.weight_bytes / MIB:.0f}"
    )


def own_bytes() -> int:
    """Bytes of this process that no file stands behind."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    assert found is not None, "this Linux does not tell"
    return int(found[1]) << 10


if __name__ == "__main__":
    main()
