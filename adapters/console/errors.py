"""Failures of the terminal become ours."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from bot.errors import PlatformError


@contextmanager
def terminal_errors() -> Generator[None, None, None]:
    """Raise `PlatformError` where the output was closed or the terminal hung up."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise PlatformError(f"the output is closed: {type(error).__name__}") from error


def abandon(output: TextIO) -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush cannot fail."""
    try:
        descriptor = output.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
