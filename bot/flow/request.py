"""From a stored question to a generation request: settings, persona, context and sampling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from bot.command import Ask
from bot.conversation import Role, Turn, name_speakers
from bot.engine.base import GenerationRequest, Payer, SamplingParameters
from bot.engine.text.families import default_sampling
from bot.errors import UserFacingError
from bot.flow.inspection import TRACED_TOKENS
from bot.messages import Answerable, Author, ConversationRef, IncomingMessage
from bot.models.available import Models
from bot.policy.quotas import limits_in
from bot.question import whole_question
from bot.settings.personas import system_prompt
from bot.settings.scoped import Effective, ScopedSettings
from bot.settings.specs import ContextScope, SettingName
from bot.store.ports.exchanges import Exchanges
from bot.store.ports.history import History
from bot.store.ports.records import StoredMessage
from bot.translations import gettext as _
from config.catalogue import ModelEntry
from config.languages import LANGUAGES

MAX_QUESTION_CHARS = 20_000
"""A longer question is refused with a clear line: no catalogued window holds it."""

MAX_TURN_PAIRS = 100
"""Pairs of question and answer read from the store; the engine keeps what its window holds."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to ask the engine, which model answers, and what to tell the member about it.

    `question` is all that was asked, "" where an answer is continued.
    """

    request: GenerationRequest
    entry: ModelEntry
    question: str
    notice: str | None = None


class PromptBuilder:
    """Builds the request for a question as its settings and its context are now."""

    def __init__(
        self,
        history: History,
        exchanges: Exchanges,
        settings: ScopedSettings,
        models: Models,
        clock: Callable[[], datetime],
        answer_timeout_s: float,
        max_tokens: int | None,
    ) -> None:
        self._history = history
        self._exchanges = exchanges
        self._settings = settings
        self._models = models
        self._clock = clock
        self._answer_timeout_s = answer_timeout_s
        self._max_tokens = max_tokens

    async def build(self, message: StoredMessage, ask: Ask, settings: Effective) -> Prompt:
        """Build the request for what `message` asks; its model overrides the conversation's own.

        `settings` are those that hold for the question, read once when its turn came.
        """
        where, who = message.event.conversation, message.event.author
        entry, notice = self._choose(settings, ask.model)
        context = ContextScope(settings.text(SettingName.CONTEXT))
        turns, question = await self._spoken(message, ask, context)
        request = self.request(where, who, settings, entry, turns)
        key = _context_key(where, context, who)
        return Prompt(
            replace(request, cache_key=key, traced_tokens=TRACED_TOKENS),
            entry,
            question,
            notice,
        )

    def model(self, settings: Effective) -> ModelEntry:
        """The model that answers where these settings hold."""
        entry, _notice = self._choose(settings, None)
        return entry

    async def settings(self, where: ConversationRef, who: Author) -> Effective:
        """What holds for a member in a conversation."""
        return await self._settings.effective(where, who)

    def request(
        self,
        where: ConversationRef,
        who: Author,
        settings: Effective,
        entry: ModelEntry,
        spoken: Sequence[Turn],
    ) -> GenerationRequest:
        """A member's request for an answer to these turns; its time runs from now on."""
        is_raw = settings.is_on(SettingName.RAW)
        persona = _persona(settings, entry)
        turns = tuple(spoken)
        if is_raw:
            turns = turns[-2 if turns[-1].role is Role.ASSISTANT else -1 :]
        elif persona:
            turns = (Turn(Role.SYSTEM, persona), *turns)
        return GenerationRequest(
            model=entry.name,
            turns=turns,
            sampling=_chosen_sampling(settings, entry, self._max_tokens),
            fairness_key=(f"{where.platform}/{where.installation_id}", who.id),
            deadline=self._clock() + timedelta(seconds=self._answer_timeout_s),
            is_raw=is_raw,
            payer=Payer(where, who, limits_in(settings)),
        )

    async def _spoken(
        self, message: StoredMessage, ask: Ask, context: ContextScope
    ) -> tuple[tuple[Turn, ...], str]:
        """The turns, the question last, with what was said before as far as it sees that.

        Besides them the question alone; "" where the last turn is an answer to go on with.
        """
        message = await self._seen_from(message, ask)
        event, who = message.event, message.event.author
        # In a thread the thread is the chain.
        if context is ContextScope.REPLIES and event.conversation.thread_id is None:
            earlier = await self._exchanges.chain(message, MAX_TURN_PAIRS)
            event = _without_own_quotes(event) if earlier else event
        else:
            is_own = context is ContextScope.MEMBER
            earlier = await self._history.turns(message, MAX_TURN_PAIRS, only_own=is_own)
        question = whole_question(ask.question, event)
        turns = name_speakers([*earlier, Turn(Role.USER, question, who.name)])
        if ask.written is None:
            return turns, question
        return (*turns, Turn(Role.ASSISTANT, ask.written)), ""

    async def _seen_from(self, message: StoredMessage, ask: Ask) -> StoredMessage:
        """The message whose context and files are seen."""
        if ask.stands_for is None:
            return message
        seen = await self._exchanges.get(ask.stands_for)
        if seen is None:
            raise UserFacingError(_("That question is no longer there. Please ask it again."))
        return seen

    def _choose(self, settings: Effective, model: str | None) -> tuple[ModelEntry, str | None]:
        """The model that holds here; a setting whose model is gone falls to the next scope."""
        if model is not None:
            return self._models.get(model), None
        names = [one.value or "" for one in settings.candidates(SettingName.MODEL)]
        gone = list(takewhile(lambda name: not self._models.can_answer(name), names[:-1]))
        entry = self._models.get(names[len(gone)])
        if not gone:
            return entry, None
        if any(name in self._models for name in gone):
            text = _("({gone} is no longer installed; {name} answers instead.)")
        else:
            text = _("({gone} is no longer in the catalogue; {name} answers instead.)")
        return entry, text.format(gone=", ".join(gone), name=entry.name)


def sampling_for(entry: ModelEntry, max_tokens: int | None = None) -> SamplingParameters:
    """A model's sampling defaults, its answers no longer than the owner allows."""
    return _bounded(default_sampling(entry), max_tokens)


def _without_own_quotes(event: Answerable) -> Answerable:
    """The event without what it quotes of the bot: that is among the turns."""
    if not isinstance(event, IncomingMessage):
        return event
    return replace(event, quoted=tuple(one for one in event.quoted if not one.is_own))


def _chosen_sampling(
    settings: Effective, entry: ModelEntry, max_tokens: int | None
) -> SamplingParameters:
    """A model's sampling with what was chosen here, within what the owner allows."""
    sampling = default_sampling(entry)
    temperature = settings.number(SettingName.TEMPERATURE)
    top_p = settings.number(SettingName.TOP_P)
    length = settings.number(SettingName.LENGTH)
    chosen = replace(
        sampling,
        temperature=sampling.temperature if temperature is None else temperature,
        top_p=sampling.top_p if top_p is None else top_p,
        max_tokens=sampling.max_tokens if length is None else int(length),
        # Who asks for long answers does not want them to end early.
        exponential_decay_length_penalty=(
            sampling.exponential_decay_length_penalty if length is None else None
        ),
    )
    return _bounded(chosen, max_tokens)


def _bounded(sampling: SamplingParameters, max_tokens: int | None) -> SamplingParameters:
    if max_tokens is None:
        return sampling
    return replace(sampling, max_tokens=min(sampling.max_tokens, max_tokens))


def _persona(settings: Effective, entry: ModelEntry) -> str:
    """The system prompt; a chosen language is part of it."""
    persona = system_prompt(settings[SettingName.PERSONA].value, entry)
    chosen = settings[SettingName.LANGUAGE]
    if chosen.scope is None or chosen.value is None:
        return persona
    return f"{persona}\n\nAnswer in {LANGUAGES[chosen.value]}.".strip()


def _context_key(conversation: ConversationRef, context: ContextScope, author: Author) -> str:
    """One string for what a question sees, for cache keys; "" where no two see the same."""
    match context:
        case ContextScope.CHANNEL:
            return conversation_key(conversation)
        case ContextScope.MEMBER:
            return f"{conversation_key(conversation)}/{author.id}"
        case ContextScope.REPLIES:
            return ""


def conversation_key(conversation: ConversationRef) -> str:
    """One string for a conversation, for cache keys and logs."""
    thread = conversation.thread_id or ""
    return "/".join(
        (conversation.platform, conversation.installation_id, conversation.channel_id, thread)
    )
