"""How much memory is free, and giving back what was freed.

It measures; what may be loaded is decided in `residency`.
"""

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import psutil

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
