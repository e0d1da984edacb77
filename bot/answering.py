"""One claimed message, one answer: from the question to the text that is shown.

Which message comes when is the orchestrator's business; what a platform shows is the reply
writer's. Whatever goes wrong here ends as a text that the member reads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from typing_extensions import override

from bot.access import require_may_talk
from bot.adapter import Adapter, Progress, WorkingIndicator
from bot.answer_words import footer, in_words, note, stopped
from bot.commands.registry import (
    Ask,
    Caller,
    CommandRegistry,
    Outcome,
    Said,
    Stage,
    Who,
    Work,
)
from bot.engine.base import (
    Engine,
    Finished,
    FinishReason,
    Loading,
    ReasoningDelta,
    TextDelta,
    Usage,
    Waiting,
)
from bot.errors import NotPermitted, PlatformError, UserFacingError
from bot.failures import without_text
from bot.inspection import Inspection, Inspections
from bot.messages import Action, CommandInvoked, IncomingMessage, Picture, TextFile
from bot.prompt import MAX_QUESTION_CHARS, Prompt, PromptBuilder, conversation_key
from bot.repeated_question import repeated
from bot.reply import ReplyWriter
from bot.reports import Reports
from bot.safety import SentenceGate, WordList, held_back
from bot.setting_specs import Buttons, SettingName
from bot.settings_scope import Effective
from bot.store.ports.inbox import Claim, Inbox
from bot.store.ports.records import Answer, ReplyState, StoredMessage
from bot.tasks import beside
from bot.text import clean
from bot.translations import gettext as _
from bot.translations import language
from bot.waiting import telling
from bot.working import working

MAX_AGE = timedelta(minutes=15)
MAX_AGE_DIRECT = timedelta(hours=24)
"""Past its age a question found after a crash is honestly failed (architecture.md, "What is
durable")."""

MAX_CRASHES = 2
"""A message that was being answered at so many crashes is failed, not tried for ever."""

log = logging.getLogger(__name__)


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


class Answering:
    """The answer to one claimed message. `stop` ends its generation and keeps what there is.

    With `is_left_over` the message was found in the store: it may be too old to be answered.
    `is_delivering` says that the text is finished and only the platform is waited for;
    `is_withdrawn` is set when the question was deleted: `remove_shown` then clears it away;
    `forgotten` are the keys of conversations whose traces in memory go when it has ended.
    """

    def __init__(
        self, services: AnswerServices, adapter: Adapter, claim: Claim, *, is_left_over: bool
    ) -> None:
        self.is_delivering = False
        self.is_withdrawn = False
        self.forgotten: set[str] = set()
        self._is_left_over = is_left_over
        self._services = services
        self._adapter = adapter
        self._claim = claim
        heading = repeated(claim.message.event, services.words)
        self._writer = ReplyWriter(adapter, services.inbox, claim, heading=heading)
        self._gate = SentenceGate(services.words, self._writer.feed)
        self._stopping: asyncio.Timeout | None = None
        self._is_stopped = False
        self._buttons = Buttons.FULL
        self._picture: Picture | None = None
        self._file: TextFile | None = None
        self._afterwards: Callable[[], Awaitable[None]] | None = None
        self._replaces: int | None = None

    @property
    def message(self) -> StoredMessage:
        """The message that is answered."""
        return self._claim.message

    def stop(self) -> None:
        """End the generation; the answer is what was said so far."""
        self._is_stopped = True
        if self._stopping is not None:
            self._stopping.reschedule(asyncio.get_running_loop().time())

    async def run(self, refusal: UserFacingError | None = None) -> None:
        """Answer, deliver and record it. With `refusal` its text is the answer.

        Raises `LeaseLost` when another process took over or the question was withdrawn, and
        leaves the message claimed when it is cancelled: the caller releases it.
        """
        async with working(self._adapter, self.message.event.target) as indicator:
            answer = await self._answer(indicator, refusal)
            await self._services.inbox.save_answer(self._claim, answer)
        self.is_delivering = True
        try:
            actions = _allowed(answer.actions, self._buttons)
            await self._writer.finish(answer, actions, self._picture, self._file)
            state = ReplyState.FAILED if answer.is_error else ReplyState.ANSWERED
        except PlatformError as error:
            log.warning("an answer could not be delivered: %s", type(error).__name__)
            state = ReplyState.FAILED
        await self.end(state)
        if self._afterwards is not None:
            await self._afterwards()

    async def end(self, state: ReplyState) -> None:
        """Record how the attempt ended."""
        now = self._services.clock()
        await self._services.inbox.finish(self._claim, state, now, self._replaces)

    async def remove_shown(self) -> None:
        """Delete what is shown of an answer whose question was withdrawn, as far as it goes."""
        with suppress(PlatformError):
            await self._writer.remove()

    async def _answer(self, indicator: WorkingIndicator, refusal: UserFacingError | None) -> Answer:
        try:
            if refusal is not None:
                raise refusal
            if self._claim.crashes >= MAX_CRASHES:
                raise UserFacingError(
                    _("I broke down twice while answering this, so I stop trying. Please ask anew.")
                )
            if self._claim.answer is not None:
                return self._claim.answer
            self._refuse_the_late()
            return await self._reply_to_event(indicator)
        except UserFacingError as error:
            return Answer(error.text, is_error=True, is_private=self._is_command)

    @property
    def _is_command(self) -> bool:
        return isinstance(self.message.event, CommandInvoked)

    def _refuse_the_late(self) -> None:
        """A question that a process left behind is not answered hours later, out of the blue."""
        is_direct = self.message.event.conversation.is_direct
        age = self._services.clock() - self.message.received_at
        if self._is_left_over and age > (MAX_AGE_DIRECT if is_direct else MAX_AGE):
            raise UserFacingError(
                _("I could not answer this in time, sorry: it waited too long. Please ask again.")
            )

    async def _reply_to_event(self, indicator: WorkingIndicator) -> Answer:
        event = self.message.event
        match event:
            case IncomingMessage():
                await self._require_access()
                _refuse_the_empty(event)
                return await self._ask(Ask(event.text), indicator)
            case CommandInvoked():
                outcome = await self._run_command(event)
        match outcome:
            case Said():
                return self._said(outcome)
            case Ask():
                return await self._ask(outcome, indicator)
            case Work():
                return await self._work(outcome, indicator)
            case _:
                assert_never(outcome)

    async def _require_access(self) -> None:
        """Raises `NotPermitted` for who is shut out here."""
        where, who = self.message.event.conversation, self.message.event.author
        if f"{where.platform}:{who.id}" not in self._services.owners:
            require_may_talk(await self._services.prompts.settings(where, who), where, who)

    async def _run_command(self, event: CommandInvoked) -> Outcome:
        command = self._services.commands.check(event.name, event.arguments)
        if not command.is_open:
            await self._require_access()
        account = f"{event.conversation.platform}:{event.author.id}"
        is_owner = account in self._services.owners
        can = self._adapter.capabilities
        settings = await self._services.prompts.settings(event.conversation, event.author)
        self._buttons = Buttons(settings.text(SettingName.BUTTONS))
        caller = Caller(
            event.author,
            event.conversation,
            is_owner,
            self.message.id,
            has_buttons=can.has_buttons and self._buttons is not Buttons.NONE,
            has_pictures=can.has_pictures,
            reader=can.reader,
        )
        allowed = {
            Who.EVERYONE: True,
            Who.MANAGER: event.author.can_manage or caller.is_owner,
            Who.OWNER: caller.is_owner,
        }
        if not allowed[command.who]:
            raise NotPermitted(_("Only a {who} may use that.").format(who=command.who.value))
        # What was left empty was not given.
        given = {name: value for name, value in event.arguments.items() if value.strip()}
        return await command.run(caller, given)

    def _said(self, said: Said) -> Answer:
        self._file, self._afterwards = said.file, said.afterwards
        text = self._services.words.allowed(said.text)
        if text is None:
            return Answer("", is_private=said.is_private, notice=held_back())
        self._picture = said.picture if text == said.text else None
        if said.file is not None and not self._adapter.capabilities.has_files:
            text = f"{text}\n\n{in_words(said.file, self._adapter.capabilities.max_chars)}"
        return Answer(text, is_private=said.is_private, footer=said.footer, actions=said.actions)

    async def _work(self, work: Work, indicator: WorkingIndicator) -> Answer:
        """Do what a command does while it is shown; who stops it keeps what there is."""
        stage = _Stage(self._gate, lambda progress: self._tell(progress, indicator))
        stop = _allowed((Action.STOP,), self._buttons)
        showing = self._writer.show_while_fed(stop, is_private=work.is_private)
        async with beside(showing, is_joined=True):
            try:
                async with asyncio.timeout(0 if self._is_stopped else None) as self._stopping:
                    return self._said(await work.do(stage))
            except TimeoutError:
                if not self._is_stopped:
                    raise
                said = self._writer.text.strip()
                return Answer(said, is_private=work.is_private, notice=stopped())
            finally:
                self._stopping = None
                self._writer.end_feed()

    async def _ask(self, ask: Ask, indicator: WorkingIndicator) -> Answer:
        _refuse_the_long(ask.question)
        self._replaces = ask.replaces
        ask = replace(ask, question=clean(ask.question))
        prompt = await self._services.prompts.build(self.message, ask)
        language.set(prompt.settings.text(SettingName.LANGUAGE))
        self._buttons = Buttons(prompt.settings.text(SettingName.BUTTONS))
        began_at = self._services.clock()
        async with beside(self._show(prompt.settings), is_joined=True):
            try:
                finished = await self._generate(prompt, indicator)
            finally:
                self._writer.end_feed()
        seconds = (self._services.clock() - began_at).total_seconds()
        self._keep_for_inspection(prompt, finished, seconds)
        return self._finished_answer(prompt, finished, seconds)

    def _keep_for_inspection(self, prompt: Prompt, finished: Finished, seconds: float) -> None:
        """In memory alone."""
        event = self.message.event
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

    async def _show(self, settings: Effective) -> None:
        """Show the answer while it grows, where that is wanted, and before it why it waits."""
        stop = _allowed((Action.STOP,), self._buttons)
        is_streamed = settings.is_on(SettingName.STREAMING)
        await self._writer.show_while_fed(stop, shows_text=is_streamed)

    async def _generate(self, prompt: Prompt, indicator: WorkingIndicator) -> Finished:
        """Feed the writer. Whatever fails ends as `Finished`, so that what is shown is mended."""
        try:
            async with asyncio.timeout(0 if self._is_stopped else None) as self._stopping:
                return await self._consume(prompt, indicator)
        except UserFacingError as error:
            return Finished(FinishReason.ERROR, Usage(), error.text)
        except Exception as error:
            if isinstance(error, TimeoutError) and self._is_stopped:
                return Finished(FinishReason.CANCELLED, Usage())
            log.error("the engine failed: %s", without_text(error))
            return Finished(FinishReason.ERROR, Usage())
        finally:
            self._stopping = None

    async def _consume(self, prompt: Prompt, indicator: WorkingIndicator) -> Finished:
        async def tell(text: str, fraction: float | None) -> None:
            await self._tell(Progress(text, fraction), indicator)

        async with self._services.engine.stream(prompt.request) as events, telling(tell) as hear:
            async for event in events:
                await hear(event)
                match event:
                    case TextDelta(text):
                        self._gate.add(text)
                        if self._gate.is_shut:
                            return Finished(FinishReason.STOP, Usage())
                    case Waiting() | Loading() | ReasoningDelta():
                        pass
                    case Finished():
                        return event
                    case _:
                        assert_never(event)
        raise AssertionError("an engine's stream ends with Finished")

    async def _tell(self, progress: Progress, indicator: WorkingIndicator) -> None:
        """Say why the answer has not begun: in the sign of work, or in the reply itself."""
        if self._adapter.capabilities.tells_progress:
            await indicator.update(progress)
        elif not self._writer.text:
            share = "" if progress.fraction is None else f", {progress.fraction:.0%}"
            self._writer.announce(f"\N{HOURGLASS} {progress.text}{share}")

    def _finished_answer(self, prompt: Prompt, finished: Finished, seconds: float) -> Answer:
        self._gate.end()
        said = "" if self._gate.is_shut else self._writer.text.strip()
        ending = (
            held_back() if self._gate.is_shut else note(finished, prompt.entry, has_text=bool(said))
        )
        notices = (ending, prompt.notice)
        is_error = finished.reason is FinishReason.ERROR
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
            actions=self._offered(is_error=is_error),
            asked=prompt.question if self._is_command else None,
        )

    def _offered(self, *, is_error: bool) -> tuple[Action, ...]:
        """What may be done about a model's answer; one that repeats is repeated by /retry."""
        retry = () if self._replaces is not None else (Action.RETRY,)
        if is_error:
            return retry
        is_taken = self._services.reports.are_taken_on(self.message.event.conversation.platform)
        return (*retry, Action.GOOD, Action.BAD, *((Action.REPORT,) if is_taken else ()))


def _allowed(actions: Sequence[Action], buttons: Buttons) -> tuple[Action, ...]:
    match buttons:
        case Buttons.FULL:
            return tuple(actions)
        case Buttons.MINIMAL:
            return tuple(one for one in actions if one not in (Action.GOOD, Action.BAD))
        case Buttons.NONE:
            return ()


def _refuse_the_long(question: str) -> None:
    if len(question) > MAX_QUESTION_CHARS:
        raise UserFacingError(
            _(
                "Your message has {length:,} characters; I read up to {limit:,}. Please shorten it."
            ).format(length=len(question), limit=MAX_QUESTION_CHARS)
        )


def _refuse_the_empty(event: IncomingMessage) -> None:
    if not event.text and not event.attachments and not event.quoted:
        raise UserFacingError(
            _("You called, but I see no question. Write one after my name, or try /help.")
        )


class _Stage(Stage):
    """What a command's work shows, through the word list and the sign of work."""

    def __init__(self, gate: SentenceGate, tell: Callable[[Progress], Awaitable[None]]) -> None:
        self._gate = gate
        self._tell = tell

    @override
    def feed(self, text: str) -> None:
        self._gate.add(text)

    @override
    async def tell(self, text: str, fraction: float | None = None) -> None:
        await self._tell(Progress(text, fraction))
