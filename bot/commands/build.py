"""Builds the registry of all commands: the one list of what there is."""

from collections.abc import Callable
from datetime import datetime

from bot.commands.conversation import ConversationCommands
from bot.commands.model import ModelCommands
from bot.commands.registry import CommandRegistry
from bot.models import Models
from bot.settings_scope import ScopedSettings
from bot.store.base import History


def build_registry(
    models: Models, settings: ScopedSettings, history: History, clock: Callable[[], datetime]
) -> CommandRegistry:
    """All commands over the services they need."""
    registry: CommandRegistry
    conversation = ConversationCommands(history, clock, lambda: registry)
    registry = CommandRegistry(
        [*conversation.commands(), *ModelCommands(models, settings).commands()]
    )
    return registry
