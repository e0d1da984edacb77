"""What every answer is made with."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from bot.command import CommandRegistry
from bot.engine.base import Engine
from bot.flow.inspection import Inspections
from bot.flow.reports import Reports
from bot.flow.request import PromptBuilder
from bot.messages import Answerable
from bot.policy.word_list import WordList
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
