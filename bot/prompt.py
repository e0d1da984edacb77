"""From a stored question to a generation request: settings, persona, context and sampling."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from bot.conversation import Role, Turn, name_speakers
from bot.engine.base import GenerationRequest, SamplingParameters
from bot.engine.families import default_sampling
from bot.messages import ConversationRef
from bot.models import Models
from bot.question import whole_question
from bot.settings_scope import ScopedSettings, SettingName
from bot.store.base import History, StoredMessage
from bot.translations import gettext as _
from config.catalogue import ModelEntry

MAX_QUESTION_CHARS = 20_000
"""A longer question is refused with a clear line: no catalogued window holds it."""

MAX_TURN_PAIRS = 100
"""Pairs of question and answer read from the store; the engine keeps what its window holds."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to ask the engine, which model answers, and what to tell the member about it."""

    request: GenerationRequest
    entry: ModelEntry
    notice: str | None = None


class PromptBuilder:
    """Builds the request for a question as its settings and its context are now."""

    def __init__(
        self,
        history: History,
        settings: ScopedSettings,
        models: Models,
        clock: Callable[[], datetime],
        answer_timeout_s: float,
        max_tokens: int | None,
    ) -> None:
        self._history = history
        self._settings = settings
        self._models = models
        self._clock = clock
        self._answer_timeout_s = answer_timeout_s
        self._max_tokens = max_tokens

    async def build(
        self, message: StoredMessage, question: str, model: str | None = None
    ) -> Prompt:
        """Build the request for `question`; `model` overrides the conversation's own."""
        event = message.event
        where, who = event.conversation, event.author
        entry, notice = await self._choose(where, message, model)
        is_raw = (await self._settings.resolve(SettingName.RAW, where, who)).value == "true"
        persona = (await self._settings.resolve(SettingName.PERSONA, where, who)).value
        asked = Turn(Role.USER, whole_question(question, event), who.name)
        earlier = () if is_raw else await self._history.turns(message, MAX_TURN_PAIRS)
        turns = name_speakers([*earlier, asked])
        if persona and not is_raw:
            turns = (Turn(Role.SYSTEM, persona), *turns)
        request = GenerationRequest(
            model=entry.name,
            turns=turns,
            sampling=sampling_for(entry, self._max_tokens),
            cache_key=conversation_key(where),
            fairness_key=(f"{where.platform}/{where.installation_id}", who.id),
            deadline=self._clock() + timedelta(seconds=self._answer_timeout_s),
            is_raw=is_raw,
        )
        return Prompt(request, entry, notice)

    async def _choose(
        self, where: ConversationRef, message: StoredMessage, model: str | None
    ) -> tuple[ModelEntry, str | None]:
        """The model that holds here; a setting whose model is gone falls to the next scope."""
        if model is not None:
            return self._models.get(model), None
        author = message.event.author
        candidates = await self._settings.candidates(SettingName.MODEL, where, author)
        names = [candidate.value for candidate in candidates]
        gone = list(takewhile(lambda name: name not in self._models, names))
        entry = self._models.get(names[min(len(gone), len(names) - 1)])
        if not gone:
            return entry, None
        text = _("({gone} is no longer in the catalogue; {name} answers instead.)")
        return entry, text.format(gone=", ".join(gone), name=entry.name)


def sampling_for(entry: ModelEntry, max_tokens: int | None = None) -> SamplingParameters:
    """A model's sampling defaults, its answers no longer than the owner allows."""
    sampling = default_sampling(entry)
    if max_tokens is None:
        return sampling
    return replace(sampling, max_tokens=min(sampling.max_tokens, max_tokens))


def conversation_key(conversation: ConversationRef) -> str:
    """One string for a conversation, for cache keys and logs."""
    thread = conversation.thread_id or ""
    return "/".join(
        (conversation.platform, conversation.installation_id, conversation.channel_id, thread)
    )
