"""Where training and evaluation run: CUDA where present, otherwise the CPU, in bf16."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


def pick_device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def mixed_precision(device: torch.device) -> Generator[None]:
    """bf16 for the matrix products; weights and their updates stay in fp32."""
    with torch.autocast(device.type, dtype=torch.bfloat16):
        yield
