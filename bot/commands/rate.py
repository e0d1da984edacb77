"""/rate: the thumbs as a command, for where there are no buttons."""

from collections.abc import Callable, Mapping
from datetime import datetime

from bot.command import Caller, Command, Parameter, Said
from bot.errors import UsageError
from bot.store.ports.exchanges import Exchanges
from bot.store.ports.ratings import Rating, Ratings
from bot.translations import gettext as _


class RateCommands:
    """The command /rate."""

    def __init__(
        self, exchanges: Exchanges, ratings: Ratings, clock: Callable[[], datetime]
    ) -> None:
        self._exchanges = exchanges
        self._ratings = ratings
        self._clock = clock

    def commands(self) -> tuple[Command, ...]:
        """The definition."""
        rating = Parameter(
            "rating", _("what you think of it"), choices=tuple(one.value for one in Rating)
        )
        keep = Parameter(
            "keep",
            _("whether your question and the answer may be kept with it"),
            is_required=False,
            keyword="keep",
            choices=("yes", "no"),
        )
        return (
            Command(
                "rate",
                _("Say what you think of the last answer to you"),
                self.rate,
                (rating, keep),
                is_private=True,
            ),
        )

    async def rate(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Count it; what was said is kept with it only if the member says so."""
        last = await self._exchanges.last(caller.message_id)
        if last is None or last.answer is None:
            raise UsageError(_("There is no answer to you here that could be rated."))
        asked, who = last.message, caller.author.id
        rating = Rating(arguments["rating"].lower())
        await self._ratings.rate(asked.account, asked.event.id, who, rating, self._clock())
        if arguments.get("keep", "no").lower() == "yes":
            await self._ratings.keep(asked, self._clock())
            return Said(_("Kept, thank you: your question, the answer and your rating."), True)
        text = _(
            "Noted, thank you. It counts without a word of what was said; with `keep yes` after it"
            " your question and the answer are kept, to compare models by."
        )
        return Said(text, is_private=True)
