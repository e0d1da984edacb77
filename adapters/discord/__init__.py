"""Discord: a bot that answers in channels, threads and direct messages.

Importing this imports no SDK: `discord` is loaded when the adapter is built.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from typer import Typer

    from adapters.discord.settings import Settings
    from bot.adapter import Adapter, Finding, Services

__all__ = ["command_line", "create", "examine", "set_up"]


def create(settings: "Settings", services: "Services") -> "Adapter":
    """The adapter for the bot whose token is set.

    Raises `ConfigurationError` without a token.
    """
    # Imported here: it brings in discord.py and aiohttp.
    from adapters.discord.adapter import build

    return build(settings, services)


async def examine(settings: "Settings") -> "Sequence[Finding]":
    """What `fireside doctor` says about Discord."""
    # Imported here: see `create`.
    from adapters.discord.doctor import examine

    return await examine(settings)


def set_up(console: "Console") -> "Mapping[str, str]":
    """What `fireside init` asks about Discord."""
    # Imported here: Rich is only needed by the command line.
    from adapters.discord.cli import set_up

    return set_up(console)


def command_line(load: "Callable[[], Settings]") -> "Typer":
    """The sub-commands of `fireside discord`; `load` reads the settings when one is run."""
    # Imported here: Typer is only needed by the command line.
    from adapters.discord.cli import build

    return build(load)
