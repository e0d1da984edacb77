"""/ask, /stop, /retry, /continue, /undo, /reset and /help: steering a conversation."""

from collections.abc import Callable, Mapping
from datetime import datetime

from bot.command import (
    QUESTION,
    Ask,
    Caller,
    Command,
    CommandRegistry,
    Parameter,
    ParameterKind,
    Said,
)
from bot.engine.base import FinishReason
from bot.errors import UsageError
from bot.flow.queues import Queues
from bot.models.available import Models, can_go_on
from bot.settings.specs import Scope
from bot.store.ports.exchanges import Exchange
from bot.store.ports.store import Store
from bot.translations import gettext as _
from bot.translations import ngettext

UNFINISHED = {FinishReason.LENGTH.value, FinishReason.TIME.value, FinishReason.CANCELLED.value}
MAX_QUOTED_CHARS = 60


class ConversationCommands:
    """The commands that steer a conversation. `registry` is asked when /help runs."""

    def __init__(
        self,
        store: Store,
        models: Models,
        clock: Callable[[], datetime],
        queues: Queues,
        registry: Callable[[], CommandRegistry],
    ) -> None:
        self._store = store
        self._models = models
        self._clock = clock
        self._queues = queues
        self._registry = registry

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        question = Parameter(QUESTION, _("what to ask"))
        model = Parameter(
            "model",
            _("which model answers this time"),
            ParameterKind.MODEL,
            is_required=False,
            keyword="with",
        )
        return (
            Command("ask", _("Ask a question"), self.ask, (question,)),
            Command(
                "stop",
                _("Stop the answer that is being written"),
                self.stop,
                is_private=True,
                is_immediate=True,
            ),
            Command("retry", _("Answer your last question anew"), self.retry, (model,)),
            Command("continue", _("Go on with an answer that was cut off"), self.go_on),
            Command(
                "undo", _("Take your last question and its answer back"), self.undo, is_private=True
            ),
            Command("reset", _("Forget this conversation and start afresh"), self.reset),
            Command("help", _("Show what I can do"), self.help, is_private=True, is_open=True),
        )

    async def ask(self, caller: Caller, arguments: Mapping[str, str]) -> Ask:
        """Put the question to the conversation's model."""
        return Ask(arguments[QUESTION])

    async def stop(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """End what is being written to the caller; to anybody here, for who manages the place."""
        stopped = self._queues.stop(caller.conversation, caller.author)
        if not stopped:
            return Said(_("There is nothing to stop: I am not answering you here."), True)
        text = ngettext("I stop that answer.", "I stop {number} answers.", stopped)
        return Said(text.format(number=stopped), is_private=True)

    async def retry(self, caller: Caller, arguments: Mapping[str, str]) -> Ask:
        """Ask the caller's last question once more, of another model if they like."""
        model = None
        if name := arguments.get("model"):
            entry = self._models.get(name)
            self._models.require_installed(entry)
            model = entry.name
        last = await self._last(caller)
        asked, written = await self._begun(last)
        return Ask(
            asked.question,
            model,
            stands_for=asked.message.id,
            replaces=last.message.id,
            written=written,
        )

    async def go_on(self, caller: Caller, arguments: Mapping[str, str]) -> Ask:
        """Let the model go on where its last answer to the caller was cut off."""
        last = await self._last(caller)
        if last.answer is None or not last.answer.text:
            raise UsageError(_("Your last question has no answer to go on with. Try /retry."))
        if last.answer.finish_reason == FinishReason.REPETITION:
            raise UsageError(
                _(
                    "My last answer to you kept repeating itself, and going on would repeat more of"
                    " it. Try /retry, or ask in other words."
                )
            )
        if last.answer.finish_reason not in UNFINISHED:
            raise UsageError(
                _("My last answer to you was complete: there is nothing to go on with.")
            )
        self._require_can_go_on(last.answer.model or "")
        asked, written = await self._begun(last)
        whole = last.answer.text if written is None else f"{written} {last.answer.text}"
        return Ask(asked.question, last.answer.model, stands_for=asked.message.id, written=whole)

    def _require_can_go_on(self, model: str) -> None:
        """Raises `UsageError` for a model that answers what it said instead of going on."""
        if model in self._models and not can_go_on(self._models.get(model)):
            text = _(
                "{name} cannot go on with an answer: it makes each one anew. `/retry with MODEL`"
                " asks another model, `/settings set length NUMBER for me` allows longer answers."
            )
            raise UsageError(text.format(name=model))

    async def _begun(self, exchange: Exchange) -> tuple[Exchange, str | None]:
        """The question of an exchange, and what was answered before this part, if it is not the
        first. Raises `UsageError` where the question is gone."""
        parts: list[str] = []
        while exchange.is_continuation:
            before = await self._store.exchanges.last(exchange.message.id)
            if before is None or before.answer is None:
                raise UsageError(
                    _("What that answer began with is no longer there. Please ask it again.")
                )
            parts.append(before.answer.text)
            exchange = before
        return exchange, " ".join(reversed(parts)) or None

    async def undo(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Take the caller's last exchange out of what later questions see."""
        last = await self._last(caller)
        await self._store.exchanges.undo(last.message.id)
        if last.is_continuation:
            return Said(_("I no longer look at how I went on with that answer."), is_private=True)
        text = _("I no longer look at your question “{question}” and my answer to it.")
        return Said(text.format(question=_beginning(last.question)), is_private=True)

    async def reset(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Later questions see nothing from before."""
        history = self._store.history
        await history.reset(caller.conversation, caller.message_id, self._clock())
        return Said(_("We start afresh: I no longer look at what was said here before."))

    async def help(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Every command with its usage."""
        lines = [_("Just write to me and I answer. These commands help:")]
        lines += [_help_line(command) for command in self._registry()]
        scopes = ", ".join(f"`{scope.value}`" for scope in Scope)
        lines += ["", _("SCOPE is one of {scopes}: whom it holds for.").format(scopes=scopes)]
        return Said("\n".join(lines), is_private=True)

    async def _last(self, caller: Caller) -> Exchange:
        """The caller's last exchange here. Raises `UsageError` where there is none."""
        last = await self._store.exchanges.last(caller.message_id)
        if last is None:
            raise UsageError(
                _(
                    "You have asked me nothing here yet, or it was reset or taken back. Each thread"
                    " is a conversation of its own: what was asked there is steered there."
                )
            )
        return last


def _beginning(question: str) -> str:
    """The first words of a question, on one line."""
    line = " ".join(question.replace("`", "'").split())
    return line if len(line) <= MAX_QUOTED_CHARS else f"{line[:MAX_QUOTED_CHARS]}…"


def _help_line(command: Command) -> str:
    """A command in /help, with who alone may use it."""
    line = f"- `{command.usage}`: {command.help}"
    return line if command.restriction is None else f"{line} ({command.restriction})"
