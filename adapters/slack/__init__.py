"""Slack: a bot that answers in channels, threads, direct messages and the assistant panel.

Importing this imports no SDK: slack-bolt is loaded when the adapter is built.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from typer import Typer

    from adapters.slack.settings import Settings
    from bot.adapter import Adapter, Finding, Services

__all__ = ["command_line", "create", "examine", "set_up"]


def create(settings: "Settings", services: "Services") -> "Adapter":
    """The adapter for the app whose tokens are set.

    Raises `ConfigurationError` where one is missing.
    """
    # Imported here: it brings in slack-bolt and aiohttp.
    from adapters.slack.adapter import build

    return build(settings, services)


async def examine(settings: "Settings") -> "Sequence[Finding]":
    """What `fireside doctor` says about Slack."""
    # Imported here: see `create`.
    from adapters.slack.doctor import examine

    return await examine(settings)


def set_up(console: "Console") -> "Mapping[str, str]":
    """What `fireside init` asks about Slack."""
    # Imported here: Rich is only needed by the command line.
    from adapters.slack.cli import set_up

    return set_up(console)


def command_line(load: "Callable[[], Settings]") -> "Typer":
    """The sub-commands of `fireside slack`; `load` reads the settings when one is run."""
    # Imported here: Typer is only needed by the command line.
    from adapters.slack.cli import build

    return build(load)
