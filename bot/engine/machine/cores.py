"""How many cores to compute with: as many as the container may use and other programs leave.

The threads of one forward pass wait for each other at the end of every layer's products. Beside a
busy neighbour the slowest of them decides, and one thread alone is faster than two.
"""

import math
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

CHECK_S = 0.25
"""How often is looked at what others use."""

IDLE = ("idle", "iowait")
COUNTED_ELSEWHERE = ("guest", "guest_nice")
"""What Linux counts as a user's time as well."""

QUOTA_FILES = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Processor time that a container may use and in which time, microseconds: cgroup version 2, 1."""


class SpareCores:
    """What other programs leave of `cores`, measured while it is asked for.

    `busy_s` is how long all cores together were busy, `own_s` how long with this process; both
    count up, in seconds.
    """

    def __init__(
        self,
        cores: int,
        monotonic: Callable[[], float],
        busy_s: Callable[[], float] | None = None,
        own_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._cores = cores
        self._monotonic = monotonic
        self._busy_s = busy_s or busy_seconds
        self._own_s = own_s
        self._looked: tuple[float, float, float] | None = None
        self._count = cores

    @property
    def count(self) -> int:
        """How many cores are free of others, rounded; at least one."""
        now_s = self._monotonic()
        if self._looked is None or now_s - self._looked[0] >= CHECK_S:
            self._look(now_s)
        return self._count

    def _look(self, now_s: float) -> None:
        looked = (now_s, self._busy_s(), self._own_s())
        before, self._looked = self._looked, looked
        if before is None:
            return
        passed_s, busy_s, own_s = (new - old for new, old in zip(looked, before, strict=True))
        others = max(0.0, (busy_s - own_s) / passed_s)
        self._count = max(1, math.floor(self._cores - others + 0.5))


def processor_name() -> str:
    """The processor's name, as far as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def core_quota(files: Sequence[Sequence[str]] = QUOTA_FILES) -> int | None:
    """How many cores the container's limit comes to, at least one; None without a limit."""
    for group in files:
        with suppress(OSError, ValueError):
            words = " ".join(Path(file).read_text(encoding="ascii") for file in group).split()
            quota, period = (int(word) for word in words)
            if quota > 0:
                return max(1, quota // period)
    return None


def busy_seconds() -> float:
    """How long this machine's cores were busy since it started, all together."""
    times = psutil.cpu_times()._asdict()
    return sum(took for name, took in times.items() if name not in (*IDLE, *COUNTED_ELSEWHERE))
