"""Playing a chat with a model: the bot's settings, its requests, and its engine."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.answers.prompts import Chat
from bot.clock import utc_now
from bot.conversation import Role, Turn
from bot.engine.base import Engine, Finished, FinishReason, TextDelta
from bot.flow.request import PromptBuilder
from bot.messages import Author, ConversationRef
from bot.models.available import Models
from bot.settings.scoped import ScopedSettings
from bot.settings.specs import DEFAULTS, SettingName
from bot.store.ports.store import Store

ASKER = Author("1", "Asker")
TIMEOUT_S = 3600.0
"""An answer's time limit: on a busy machine many answers at once take their time."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer, and how it ended."""

    question: str
    answer: str
    reason: FinishReason
    tokens: int


class Asker:
    """Plays chats with installed models as the terminal chat would, several at a time."""

    def __init__(self, engine: Engine, models: Models, store: Store) -> None:
        self._engine = engine
        self._models = models
        self._store = store

    async def play(
        self, model: str, chats: Iterable[Chat], seed: int, changes: Mapping[str, Any]
    ) -> list[list[Answered]]:
        """The answers of each chat; `changes` replace sampling parameters of the model's own."""
        return await asyncio.gather(*(self._play(model, chat, seed, changes) for chat in chats))

    async def _play(
        self, model: str, chat: Chat, seed: int, changes: Mapping[str, Any]
    ) -> list[Answered]:
        said: list[Turn] = []
        answers: list[Answered] = []
        for question in chat.turns:
            said.append(Turn(Role.USER, question, ASKER.name))
            answered = await self._ask(model, chat, tuple(said), seed, changes)
            said.append(Turn(Role.ASSISTANT, answered.answer))
            answers.append(answered)
        return answers

    async def _ask(
        self,
        model: str,
        chat: Chat,
        said: tuple[Turn, ...],
        seed: int,
        changes: Mapping[str, Any],
    ) -> Answered:
        where = ConversationRef("terminal", "here", f"{chat.id}-{seed}")
        persona = {} if chat.persona is None else {SettingName.PERSONA: chat.persona}
        defaults = {**DEFAULTS, SettingName.MODEL: model, **persona}
        scoped = ScopedSettings(self._store.settings, defaults, utc_now)
        history, exchanges = self._store.history, self._store.exchanges
        prompts = PromptBuilder(history, exchanges, scoped, self._models, utc_now, TIMEOUT_S, None)
        settings = await scoped.effective(where, ASKER)
        request = prompts.request(where, ASKER, settings, self._models.get(model), said)
        sampling = replace(request.sampling, seed=seed, **changes)
        text = ""
        # Each chat is somebody else's: the scheduler takes turns between people.
        asked = replace(request, sampling=sampling, fairness_key=("bench", chat.id))
        async with self._engine.stream(asked) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    text += event.text
                if isinstance(event, Finished):
                    tokens = event.usage.generated_tokens
                    return Answered(said[-1].text, event.error or text, event.reason, tokens)
        raise AssertionError("a stream ends with Finished")
