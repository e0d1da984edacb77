"""The terminal: `fireside chat`, with a keyboard and a screen or with pipes.

It is an adapter like any other. Importing it imports neither prompt_toolkit nor Rich.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.console.settings import Settings
    from bot.adapter import Adapter, Services

__all__ = ["create"]


def create(settings: "Settings", services: "Services") -> "Adapter":
    """The adapter over this process's own standard input and output."""
    # Imported here: building it brings in prompt_toolkit and Rich where there is a terminal.
    from adapters.console.adapter import build

    return build(settings, services)
