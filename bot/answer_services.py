"""What every answer is made with."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from bot.commands.registry import CommandRegistry
from bot.engine.base import Engine
from bot.inspection import Inspections
from bot.messages import Answerable
from bot.prompt import PromptBuilder
from bot.reports import Reports
from bot.safety import WordList
from bot.store.ports.inbox import Inbox


@dataclass(frozen=True, slots=True)
class AnswerServices:
    """What every answer needs."""

    engine: Engine
    inbox: Inbox
    prompts: PromptBuilder
    commands: CommandRegistry
    owners: Collection[str]
    clock: Callable[[], datetime]
    words: WordList
    reports: Reports
    inspections: Inspections

    def is_from_owner(self, event: Answerable) -> bool:
        """Whether an owner of the bot asks."""
        return f"{event.conversation.platform}:{event.author.id}" in self.owners
