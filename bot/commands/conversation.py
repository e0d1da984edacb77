"""/ask, /reset and /help: talking to the bot and starting afresh."""

from collections.abc import Callable, Mapping
from datetime import datetime

from bot.commands.registry import Ask, Caller, Command, CommandRegistry, Parameter, Said
from bot.store.base import History
from bot.translations import gettext as _


class ConversationCommands:
    """The commands that steer a conversation. `registry` is asked when /help runs."""

    def __init__(
        self,
        history: History,
        clock: Callable[[], datetime],
        registry: Callable[[], CommandRegistry],
    ) -> None:
        self._history = history
        self._clock = clock
        self._registry = registry

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        question = Parameter("question", _("what to ask"))
        return (
            Command("ask", _("Ask a question"), self.ask, (question,)),
            Command("reset", _("Forget this conversation and start afresh"), self.reset),
            Command("help", _("Show what I can do"), self.help, is_private=True),
        )

    async def ask(self, caller: Caller, arguments: Mapping[str, str]) -> Ask:
        """Put the question to the conversation's model."""
        return Ask(arguments["question"])

    async def reset(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Later questions see nothing from before."""
        await self._history.reset(caller.conversation, caller.message_id, self._clock())
        return Said(_("We start afresh: I no longer look at what was said here before."))

    async def help(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Every command with its usage."""
        lines = [_("Just write to me and I answer. These commands help:")]
        lines += [f"- `{command.usage}`: {command.help}" for command in self._registry()]
        return Said("\n".join(lines), is_private=True)
