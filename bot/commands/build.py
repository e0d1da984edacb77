"""Builds the registry of all commands: the one list of what there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from bot.command import CommandRegistry
from bot.commands.access import AccessCommands
from bot.commands.compare import CompareCommands
from bot.commands.conversation import ConversationCommands
from bot.commands.inspect import InspectCommands
from bot.commands.language import LanguageCommands
from bot.commands.model import ModelCommands
from bot.commands.persona import PersonaCommands
from bot.commands.privacy import PrivacyCommands
from bot.commands.rate import RateCommands
from bot.commands.report import ReportCommands
from bot.commands.settings import SettingsCommands
from bot.commands.summarize import SummarizeCommands
from bot.commands.task_models import TaskModels
from bot.engine.base import Engine
from bot.flow.conversation_memory import ConversationMemory
from bot.flow.inspection import Inspections
from bot.flow.queues import Queues
from bot.flow.reports import Reports
from bot.flow.request import PromptBuilder
from bot.models.available import Models
from bot.pictures.worker import Pictures
from bot.settings.scoped import ScopedSettings
from bot.store.ports.store import Store


@dataclass(frozen=True, slots=True)
class CommandServices:
    """What the commands work with."""

    store: Store
    settings: ScopedSettings
    models: Models
    engine: Engine
    prompts: PromptBuilder
    pictures: Pictures
    clock: Callable[[], datetime]
    queues: Queues
    memory: ConversationMemory
    hosts: Callable[[], Sequence[str]]
    inspections: Inspections
    reports: Reports


def build_registry(services: CommandServices) -> CommandRegistry:
    """All commands over the services they need."""
    registry: CommandRegistry
    store, settings, models = services.store, services.settings, services.models
    conversation = ConversationCommands(
        store, models, services.clock, services.queues, lambda: registry
    )
    compare = CompareCommands(
        models,
        store.comparisons,
        services.engine,
        services.prompts,
        services.pictures,
        services.clock,
    )
    task_models = TaskModels(models, services.prompts, services.engine)
    privacy = PrivacyCommands(
        store.erasure, settings, services.queues, services.memory, services.hosts, models
    )
    registry = CommandRegistry(
        [
            *conversation.commands(),
            *ModelCommands(models, settings, store.exchanges).commands(),
            *PersonaCommands(settings, models).commands(),
            *SettingsCommands(settings, models).commands(),
            *compare.commands(),
            *LanguageCommands(task_models, settings).commands(),
            *SummarizeCommands(task_models, services.clock).commands(),
            *AccessCommands(settings).commands(),
            *RateCommands(store.exchanges, store.ratings, services.clock).commands(),
            *ReportCommands(store.exchanges, store.replies, services.reports).commands(),
            *InspectCommands(services.inspections, services.pictures).commands(),
            *privacy.commands(),
        ]
    )
    return registry


def described_registry() -> CommandRegistry:
    """All commands to be told of and not run: nothing that they work with is there."""
    return build_registry(cast("CommandServices", _Absent()))


class _Absent:
    """Stands for whatever a command would work with."""

    def __getattr__(self, name: str) -> "_Absent":
        return self
