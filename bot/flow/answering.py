"""One claimed message, one answer: from the question to the text that is shown.

Which message comes when is the dispatcher's business; what a platform shows is the reply writer's.
Whatever goes wrong here ends as a text that the member reads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from bot.adapter import Adapter, WorkingIndicator
from bot.command import Ask, Caller, Outcome, Said, Who, Work
from bot.concurrency import Stopped
from bot.errors import NotPermitted, PlatformError, StoreUnavailable, UserFacingError
from bot.flow.asking import Asking
from bot.flow.message_life import MessageLife
from bot.flow.services import AnswerServices
from bot.messages import Action, Buttons, CommandInvoked, IncomingMessage, Picture, TextFile
from bot.policy.access import require_may_talk
from bot.policy.word_list import held_back
from bot.reply.buttons import shown_actions
from bot.reply.indicator import working
from bot.reply.live import Showing
from bot.reply.notices import in_words, stopped
from bot.reply.writer import ReplyWriter
from bot.settings.scoped import Effective
from bot.settings.specs import SettingName
from bot.store.ports.inbox import Claim
from bot.store.ports.records import Answer, ReplyState, StoredMessage
from bot.translations import gettext as _

MAX_AGE = timedelta(minutes=15)
MAX_AGE_DIRECT = timedelta(hours=24)
"""Past its age a question found after a crash is honestly failed (architecture.md, "What is
durable")."""

MAX_CRASHES = 2
"""A message that was alone in the forward pass at so many crashes is failed, not tried for ever."""

SAVE_PAUSE_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Made:
    """A finished answer, and what goes with it that the store does not keep.

    Once it is delivered the message with the id `replaces` leaves the context, and `afterwards`
    runs.
    """

    answer: Answer
    picture: Picture | None = None
    file: TextFile | None = None
    replaces: int | None = None
    afterwards: Callable[[], Awaitable[None]] | None = None


class Answering:
    """The answer to one claimed message: `make` it, then `deliver` it.

    The switch of its `life` ends its generation and keeps what there is. Everything here raises
    `LeaseLost` when another process took over or the question was withdrawn, and leaves the message
    claimed when it is cancelled: the caller releases it.
    """

    def __init__(
        self, services: AnswerServices, adapter: Adapter, claim: Claim, life: MessageLife
    ) -> None:
        self._life = life
        self._services = services
        self._adapter = adapter
        self._claim = claim
        self._writer = ReplyWriter(adapter, services.inbox, claim, services.words)
        self._buttons = Buttons.FULL

    @property
    def message(self) -> StoredMessage:
        """The message that is answered."""
        return self._claim.message

    async def make(self, refusal: UserFacingError | None = None) -> Made:
        """Answer and store the answer. With `refusal` its text is the answer."""
        async with working(self._adapter, self.message.event.target) as indicator:
            made = await self._make(indicator, refusal)
            # Those that are not wanted are not shown later either.
            actions = self._wanted(made.answer.actions)
            made = replace(made, answer=replace(made.answer, actions=actions))
            await self._save(made.answer)
        return made

    async def deliver(self, made: Made) -> None:
        """Show a stored answer whole, and record how that ended."""
        answer = made.answer
        try:
            await self._writer.finish(answer, made.picture, made.file)
            state = ReplyState.FAILED if answer.is_error else ReplyState.ANSWERED
        except PlatformError as error:
            log.warning("an answer could not be delivered: %s", type(error).__name__)
            state = ReplyState.FAILED
        await self.end(state, made.replaces)
        if made.afterwards is not None:
            await made.afterwards()

    async def _save(self, answer: Answer) -> None:
        """Store a finished answer; a store that cannot be written delays it."""
        while True:
            try:
                return await self._services.inbox.save_answer(self._claim, answer)
            except StoreUnavailable as error:
                log.warning("a finished answer waits for the database: %s", error.text)
            await asyncio.sleep(SAVE_PAUSE_S)

    async def end(self, state: ReplyState, replaces: int | None = None) -> None:
        """Record how the attempt ended, and the id of the message that it replaces."""
        now = self._services.clock()
        await self._services.inbox.finish(self._claim, state, now, replaces)

    async def remove_shown(self) -> None:
        """Delete what is shown of an answer whose question was withdrawn, as far as it goes."""
        await self._writer.remove()

    async def _make(self, indicator: WorkingIndicator, refusal: UserFacingError | None) -> Made:
        try:
            if refusal is not None:
                raise refusal
            if self._claim.answer is not None:
                return Made(self._claim.answer)
            if self._claim.crashes >= MAX_CRASHES:
                raise UserFacingError(
                    _("I broke down twice while answering this, so I stop trying. Please ask anew.")
                )
            self._refuse_the_late()
            event = self.message.event
            settings = await self._services.prompts.settings(event.conversation, event.author)
            self._buttons = Buttons(settings.text(SettingName.BUTTONS))
            can, words = self._adapter.capabilities, self._services.words
            showing = Showing(self._writer, can, indicator, words, self._wanted((Action.STOP,)))
            return await self._reply_to_event(settings, showing)
        except StoreUnavailable:
            raise  # it delays the answer and never becomes it
        except UserFacingError as error:
            is_private = isinstance(self.message.event, CommandInvoked)
            return Made(Answer(error.text, is_error=True, is_private=is_private))

    def _wanted(self, actions: Sequence[Action]) -> tuple[Action, ...]:
        """Those that are to have a button here, by setting."""
        return shown_actions(actions, self._buttons)

    def _refuse_the_late(self) -> None:
        """A question that a process left behind is not answered hours later, out of the blue."""
        is_direct = self.message.event.conversation.is_direct
        age = self._services.clock() - self.message.received_at
        if self._life.is_left_over and age > (MAX_AGE_DIRECT if is_direct else MAX_AGE):
            raise UserFacingError(
                _("I could not answer this in time, sorry: it waited too long. Please ask again.")
            )

    async def _reply_to_event(self, settings: Effective, showing: Showing) -> Made:
        event = self.message.event
        match event:
            case IncomingMessage():
                self._require_access(settings)
                _refuse_the_empty(event)
                outcome = Ask(event.text)
            case CommandInvoked():
                outcome = await self._run_command(event, settings)
        match outcome:
            case Said():
                return self._said(outcome)
            case Ask():
                switch = self._life.switch
                asking = Asking(self._services, self.message, showing, switch, settings)
                return Made(await asking.answer(outcome), replaces=outcome.replaces)
            case Work():
                return await self._work(outcome, showing)
            case _:
                assert_never(outcome)

    def _require_access(self, settings: Effective) -> None:
        """Raises `NotPermitted` for who is shut out here."""
        event = self.message.event
        if not self._services.is_from_owner(event):
            require_may_talk(settings, event.conversation, event.author)

    async def _run_command(self, event: CommandInvoked, settings: Effective) -> Outcome:
        command = self._services.commands.check(event.name, event.arguments)
        if not command.is_open:
            self._require_access(settings)
        can = self._adapter.capabilities
        caller = Caller(
            event.author,
            event.conversation,
            self._services.is_from_owner(event),
            self.message.id,
            has_buttons=can.has_buttons and self._buttons is not Buttons.NONE,
            has_pictures=can.has_pictures,
            reader=can.reader,
        )
        allowed = {
            Who.EVERYONE: True,
            Who.MANAGER: caller.manages,
            Who.OWNER: caller.is_owner,
        }
        if not allowed[command.who]:
            text = _("Only {who} can use `/{name}`.")
            raise NotPermitted(text.format(who=command.restriction, name=command.name))
        # What was left empty was not given.
        given = {name: value for name, value in event.arguments.items() if value.strip()}
        return await command.run(caller, given)

    async def _work(self, work: Work, showing: Showing) -> Made:
        """Do what a command does while it is shown; who stops it keeps what there is."""
        async with showing.shown(is_private=work.is_private):
            try:
                async with self._life.switch.heeded():
                    return self._said(await work.do(showing))
            except Stopped:
                return Made(Answer(showing.text, is_private=work.is_private, notice=stopped()))

    def _said(self, said: Said) -> Made:
        text, can = self._services.words.allowed(said.text), self._adapter.capabilities
        if text is None:
            answer = Answer("", is_private=said.is_private, notice=held_back())
            return Made(answer, file=said.file, afterwards=said.afterwards)
        picture = said.picture if text == said.text else None
        if said.file is not None and not can.has_files:
            text = f"{text}\n\n{in_words(said.file, can.max_chars)}"
        answer = Answer(text, is_private=said.is_private, footer=said.footer, actions=said.actions)
        return Made(answer, picture, said.file, afterwards=said.afterwards)


def _refuse_the_empty(event: IncomingMessage) -> None:
    if not event.text and not event.attachments and not event.quoted:
        raise UserFacingError(
            _("You called, but I see no question. Write one after my name, or try /help.")
        )
