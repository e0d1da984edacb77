"""/report: the button as a command, for where there are no buttons."""

from collections.abc import Mapping

from bot.command import Caller, Command, Parameter, Said
from bot.errors import UsageError
from bot.flow.reports import Reports, not_taken
from bot.store.ports.exchanges import Exchanges
from bot.store.ports.replies import Replies
from bot.translations import gettext as _


class ReportCommands:
    """The command /report."""

    def __init__(self, exchanges: Exchanges, replies: Replies, reports: Reports) -> None:
        self._exchanges = exchanges
        self._replies = replies
        self._reports = reports

    def commands(self) -> tuple[Command, ...]:
        """The definition: who may not talk here can report what they see, as with the button."""
        reason = Parameter("reason", _("what is wrong with it"), is_required=False)
        return (
            Command(
                "report",
                _("Report the last answer here to those who look after me"),
                self.report,
                (reason,),
                is_private=True,
                is_open=True,
            ),
        )

    async def report(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Report it, and say whose it was: another one may have come since it was read."""
        if not self._reports.are_taken_on(caller.conversation.platform):
            return Said(not_taken(), is_private=True)
        invoked = await self._exchanges.get(caller.message_id)
        shown = None if invoked is None else await self._replies.seen_before(invoked)
        if shown is None:
            raise UsageError(
                _(
                    "I see no answer of a model here that could be reported. Each thread is a"
                    " conversation of its own: what was said there is reported there."
                )
            )
        told = await self._reports.send(
            shown, caller.author, caller.conversation, arguments.get("reason", "")
        )
        which = _("It was my last answer here, the one to {name}.")
        return Said(f"{told} {which.format(name=shown.message.event.author.name)}", True)
