"""Arrays: how the kernels see what torch has in memory."""

from typing import Any

import numpy as np
import torch

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
States = np.ndarray[Any, np.dtype[Any]]

NOTHING: Floats = np.empty(0, np.float32)
"""The weight of a norm, or its bias, that a model has not."""


def seen(states: torch.Tensor) -> States:
    """The same memory as the kernels see it."""
    is_half = states.dtype is torch.bfloat16
    array: States = (states.view(torch.uint16) if is_half else states).numpy()
    return array


def numbers(weight: Any) -> Floats:
    """A small weight as the kernels want it."""
    array: Floats = weight.detach().float().contiguous().numpy()
    return array
