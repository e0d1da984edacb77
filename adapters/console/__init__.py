"""The terminal: `fireside chat`, with a keyboard and a screen or with pipes.

It is an adapter like any other. Importing it imports neither prompt_toolkit nor Rich.
"""

from collections.abc import AsyncGenerator, Sequence

from adapters.console.settings import Settings
from bot.adapter import Adapter, Services
from bot.comparison import ModelEvent

__all__ = ["Settings", "create", "show_comparison"]


def create(settings: Settings, services: Services) -> Adapter:
    """The adapter over this process's own standard input and output."""
    # Imported here: building it brings in prompt_toolkit and Rich where there is a terminal.
    from adapters.console.client import build

    return build(settings, services)


async def show_comparison(events: AsyncGenerator[ModelEvent, None], models: Sequence[str]) -> bool:
    """Show the answers of `bot.comparison.compare` while they grow; False if there is none."""
    # Imported here: it brings in Rich.
    from adapters.console.compare_view import show

    return await show(events, models)
