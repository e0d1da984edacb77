"""How much memory is free, and giving back what was freed.

It measures; what may be loaded is decided in `residency`.
"""

import ctypes
import gc
import mmap
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

MADV_POPULATE_WRITE = 23
"""Linux 5.14 and newer; Python has no name for it."""

CGROUP_FILES = (
    (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory.current",
        "/sys/fs/cgroup/memory.stat",
    ),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
"""Limit, use and statistics of the container: cgroup version 2, then 1."""


def available_bytes(cgroup_files: tuple[tuple[str, str, str], ...] = CGROUP_FILES) -> int:
    """Memory that can be taken without swapping and within the container's limit."""
    free = psutil.virtual_memory().available
    for limit_file, usage_file, stat_file in cgroup_files:
        limit, usage = _number(limit_file), _number(usage_file)
        if limit is not None and usage is not None:
            return min(free, max(0, limit - usage + _page_cache(stat_file)))
    return free


def return_freed_memory() -> None:
    """Collect what is unreachable and hand freed memory back to the system."""
    gc.collect()
    trim()


def trim() -> None:
    """Hand memory back to the system that the C library keeps for what comes next."""
    if sys.platform == "linux":
        # Only glibc has malloc_trim; elsewhere freed memory goes back by itself, or later.
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def populate(address: int, size: int) -> None:
    """Have the pages of memory that will be written to, where the system can be asked: one by one,
    each when it is written to first, they take ten times as long.
    """
    begin = address - address % mmap.PAGESIZE
    madvise = _madvise()
    if madvise is not None:
        # What the system refuses, as older ones do, comes when it is written to.
        madvise(begin, address + size - begin, MADV_POPULATE_WRITE)


@cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def _page_cache(stat_file: str) -> int:
    """Cached files that count as used and go first; version 1 sums them up as `total_`."""
    try:
        lines = Path(stat_file).read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    counts = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(counts.get("total_inactive_file", counts.get("inactive_file", "0")))


def _number(file: str) -> int | None:
    try:
        text = Path(file).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
