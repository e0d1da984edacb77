"""Whether a GPU stands unused because the installed PyTorch is a build for the CPU (no torch)."""

import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GPU_PATHS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"))


def has_unused_gpu(torch_version: str | None = None, gpu_paths: Sequence[Path] = GPU_PATHS) -> bool:
    """True where an NVIDIA GPU is found and torch, told by its version, cannot use it."""
    try:
        installed = torch_version or version("torch")
    except PackageNotFoundError:
        return False
    has_gpu = any(path.exists() for path in gpu_paths) or shutil.which("nvidia-smi") is not None
    return has_gpu and installed.partition("+")[2] == "cpu"
