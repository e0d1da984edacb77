"""A question that is put to a model, and the answer that is made of what comes."""

import logging
from dataclasses import replace
from typing import assert_never

from bot.command import Ask
from bot.concurrency import Stopped, StopSwitch
from bot.engine.base import (
    Finished,
    FinishReason,
    Loading,
    ReasoningDelta,
    TextDelta,
    Usage,
    Waiting,
)
from bot.errors import StoreUnavailable, UserFacingError, without_text
from bot.flow.inspection import Inspection
from bot.flow.request import MAX_QUESTION_CHARS, Prompt, conversation_key
from bot.flow.services import AnswerServices
from bot.messages import Action, CommandInvoked
from bot.policy.word_list import held_back
from bot.reply.live import Showing
from bot.reply.notices import footer, note
from bot.reply.progress import telling
from bot.settings.scoped import Effective
from bot.settings.specs import SettingName
from bot.store.ports.records import Answer, StoredMessage
from bot.text import clean
from bot.translations import gettext as _
from bot.translations import language

log = logging.getLogger(__name__)


class Asking:
    """Asks a model what a message wants to know."""

    def __init__(
        self,
        services: AnswerServices,
        message: StoredMessage,
        showing: Showing,
        switch: StopSwitch,
        settings: Effective,
    ) -> None:
        self._services = services
        self._message = message
        self._showing = showing
        self._switch = switch
        self._settings = settings

    async def answer(self, ask: Ask) -> Answer:
        """The model's answer, shown while it grows. Raises `UserFacingError` where it cannot be."""
        _refuse_the_long(ask.question)
        ask = replace(ask, question=clean(ask.question))
        prompt = await self._services.prompts.build(self._message, ask, self._settings)
        language.set(self._settings.text(SettingName.LANGUAGE))
        self._showing.ask(prompt.question)
        began_at = self._services.clock()
        is_streamed = self._settings.is_on(SettingName.STREAMING)
        async with self._showing.shown(shows_text=is_streamed):
            finished = await self._generate(prompt)
        seconds = (self._services.clock() - began_at).total_seconds()
        self._keep_for_inspection(prompt, finished, seconds)
        return self._finished_answer(ask, prompt, finished, seconds)

    async def _generate(self, prompt: Prompt) -> Finished:
        """Feed what is shown. Whatever fails ends as `Finished`: what is shown is mended."""
        try:
            async with self._switch.heeded():
                return await self._consume(prompt)
        except Stopped:
            return Finished(FinishReason.CANCELLED, Usage())
        except StoreUnavailable:
            raise  # it delays the answer and never becomes it
        except UserFacingError as error:
            return Finished(FinishReason.ERROR, Usage(), error.text)
        except Exception as error:
            log.error("the engine failed: %s", without_text(error))
            return Finished(FinishReason.ERROR, Usage())

    async def _consume(self, prompt: Prompt) -> Finished:
        showing, stream = self._showing, self._services.engine.stream(prompt.request)
        async with stream as events, telling(showing.tell) as hear:
            async for event in events:
                await hear(event)
                match event:
                    case TextDelta(text):
                        showing.feed(text)
                        if showing.is_held_back:
                            return Finished(FinishReason.STOP, Usage())
                    case Waiting() | Loading() | ReasoningDelta():
                        pass
                    case Finished():
                        return event
                    case _:
                        assert_never(event)
        raise AssertionError("an engine's stream ends with Finished")

    def _keep_for_inspection(self, prompt: Prompt, finished: Finished, seconds: float) -> None:
        """In memory alone."""
        event = self._message.event
        inspection = Inspection(
            prompt.entry.name,
            event.author.name,
            self._services.clock(),
            finished.usage,
            seconds,
            finished.trace,
            sent="\n\n".join(f"{turn.role}: {turn.text}" for turn in prompt.request.turns),
        )
        key = conversation_key(event.conversation)
        self._services.inspections.keep(key, event.author.id, inspection)

    def _finished_answer(
        self, ask: Ask, prompt: Prompt, finished: Finished, seconds: float
    ) -> Answer:
        self._showing.end()
        is_held_back = self._showing.is_held_back
        said = "" if is_held_back else self._showing.text
        ending = held_back() if is_held_back else note(finished, prompt.entry, has_text=bool(said))
        notices = (ending, prompt.notice)
        is_error = finished.reason is FinishReason.ERROR
        is_command = isinstance(self._message.event, CommandInvoked)
        return Answer(
            said,
            model=prompt.entry.name,
            finish_reason=finished.reason.value,
            generated_tokens=finished.usage.generated_tokens,
            is_error=is_error,
            notice="\n\n".join(notice for notice in notices if notice) or None,
            footer=footer(prompt.entry),
            seconds=seconds,
            tokens_per_s=finished.usage.tokens_per_s,
            actions=self._offered(ask, is_error=is_error),
            asked=prompt.question if is_command else None,
        )

    def _offered(self, ask: Ask, *, is_error: bool) -> tuple[Action, ...]:
        """What may be done about a model's answer; one that repeats is repeated by /retry."""
        retry = () if ask.replaces is not None else (Action.RETRY,)
        if is_error:
            return retry
        is_taken = self._services.reports.are_taken_on(self._message.event.conversation.platform)
        return (*retry, Action.GOOD, Action.BAD, *((Action.REPORT,) if is_taken else ()))


def _refuse_the_long(question: str) -> None:
    if len(question) > MAX_QUESTION_CHARS:
        raise UserFacingError(
            _(
                "Your message has {length:,} characters; I read up to {limit:,}. Please shorten it."
            ).format(length=len(question), limit=MAX_QUESTION_CHARS)
        )
