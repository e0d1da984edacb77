"""Whether our own kernels are used on this machine: a switch for tests and for finding faults.

With `ENGINE_KERNELS=off` in the environment torch multiplies and transformers' modules do the rest.
"""

import os

KERNEL_SWITCH = "ENGINE_KERNELS"


def are_kernels_off() -> bool:
    """Whether somebody has switched them off."""
    return os.environ.get(KERNEL_SWITCH, "").strip().lower() in ("off", "0", "false", "no")
