"""Which build of torch to take: decided from what pip says it would take and what the machine has.

Nothing is installed here, and no index is named: the set-up script does both.
"""

import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.requirements import requirement_name

GPU_PATHS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"))
CUDA_PREFIXES = ("nvidia-", "cuda-")
HEAD_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Wheel:
    """One distribution that pip would take; ``size`` in bytes, None where it is not told."""

    name: str
    version: str
    url: str
    size: int | None = None

    @property
    def is_cuda(self) -> bool:
        return self.name.startswith(CUDA_PREFIXES) or "+cu" in self.version

    @property
    def is_heavy(self) -> bool:
        return self.is_cuda or self.name in {"torch", "triton"}


@dataclass(frozen=True, slots=True)
class TorchChoice:
    """Where torch is taken from (``index`` None: wherever pip is configured to look) and why."""

    index: str | None
    why: str


def wheels_in_report(report: Mapping[str, Any]) -> tuple[Wheel, ...]:
    """The distributions in pip's installation report (https://pip.pypa.io/en/stable/reference/installation-report/)."""
    return tuple(
        Wheel(
            name=requirement_name(item["metadata"]["name"]),
            version=item["metadata"]["version"],
            url=item["download_info"]["url"],
        )
        for item in report["install"]
    )


def choose_torch(
    wheels: Iterable[Wheel], *, override: str | None, gpu: bool, cpu_index: str
) -> TorchChoice:
    """Which index to take torch from, given what pip would take by itself.

    An override always wins. A build without CUDA (a local CPU wheel, macOS) is taken as it is.
    Gigabytes of CUDA are taken where a GPU can use them, and nowhere else.
    """
    if override:
        return TorchChoice(override, "TORCH_INDEX is set")
    if not any(wheel.is_cuda for wheel in wheels):
        return TorchChoice(None, "CPU build at hand")
    if gpu:
        return TorchChoice(None, "CUDA build, NVIDIA GPU found")
    return TorchChoice(cpu_index, "CPU build, no NVIDIA GPU found")


def download_line(torch: str, choice: TorchChoice, wheels: Iterable[Wheel]) -> str:
    """What is said before the download: the build, why, from where, and the size if known."""
    sizes = [wheel.size for wheel in wheels if wheel.is_heavy]
    known = sum(size for size in sizes if size is not None)
    if not known:
        amount = "the index does not tell the size"
    else:
        amount = f"{'at least ' if None in sizes else ''}{known / 1e6:,.0f} MB"
    source = f", from {without_credentials(choice.index)}" if choice.index else ""
    return f"{torch}: {choice.why}{source}; {amount}"


def without_credentials(url: str) -> str:
    """The address without the user and password that a private index may carry."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def refusal(stderr: str) -> str:
    """Why pip found nothing; its own last line hides that the index did not answer."""
    if "connection broken by" in stderr or "Connection to" in stderr:
        return "it cannot be reached"
    return last_line(stderr)


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "no reason given"


def is_gpu_present() -> bool:
    """Whether an NVIDIA driver shows a GPU on this machine."""
    if any(path.exists() for path in GPU_PATHS):
        return True
    command = shutil.which("nvidia-smi")
    if command is None:
        return False
    finished = subprocess.run([command, "-L"], capture_output=True, text=True)
    return finished.returncode == 0 and "GPU" in finished.stdout


def sized(wheel: Wheel) -> Wheel:
    """The wheel with its size, if it is a heavy one and the index tells."""
    if not wheel.is_heavy:
        return wheel
    try:
        request = urllib.request.Request(wheel.url, method="HEAD")  # noqa: S310 - the address pip reported
        with urllib.request.urlopen(request, timeout=HEAD_TIMEOUT_S) as answer:  # noqa: S310
            size = int(answer.headers["Content-Length"])
    except (OSError, ValueError, TypeError):
        return wheel
    return Wheel(wheel.name, wheel.version, wheel.url, size)
