"""Slack: a bot that answers in channels, threads, direct messages and the assistant panel.

Importing this imports no SDK: slack-bolt is loaded when the adapter is built.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.slack.settings import Settings
    from bot.adapter import Adapter, Services

__all__ = ["create"]


def create(settings: "Settings", services: "Services") -> "Adapter":
    """The adapter for the app whose tokens are set.

    Raises `ConfigurationError` where one is missing.
    """
    # Imported here: it brings in slack-bolt and aiohttp.
    from adapters.slack.adapter import build

    return build(settings, services)
