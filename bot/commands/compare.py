"""/compare, /vote and /leaderboard: the same question to several models, and who likes which."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime

from bot.command import (
    QUESTION,
    Caller,
    Command,
    Outcome,
    Parameter,
    ParameterKind,
    Said,
    Stage,
    Work,
)
from bot.comparison.leaderboard import standings, table
from bot.comparison.run import Comparison, Contestant, compare
from bot.comparison.text import GrowingRound, whole
from bot.comparison.voting import Voting, name_of, offered
from bot.conversation import Role, Turn
from bot.engine.base import (
    Engine,
    EngineEvent,
    GenerationRequest,
    Loading,
    TextDelta,
    Waiting,
)
from bot.errors import UsageError
from bot.flow.request import PromptBuilder
from bot.messages import Action, Picture
from bot.models.available import Models
from bot.pictures.worker import Pictures
from bot.reply.buttons import VOTES
from bot.reply.progress import telling
from bot.store.ports.comparisons import Comparisons, Contender, Round, Vote
from bot.text import clean
from bot.translations import gettext as _
from config.catalogue import ModelEntry

MIN_MODELS, MAX_MODELS = 2, 4
LAB = "lab"
"""The preset that is compared where nobody chose and its models are here."""

MAX_ROUNDS = 50
"""Earlier rounds that are read; the engine keeps of each model's what its window holds."""


class CompareCommands:
    """The commands about comparisons. `monotonic` gives seconds."""

    def __init__(
        self,
        models: Models,
        comparisons: Comparisons,
        engine: Engine,
        prompts: PromptBuilder,
        pictures: Pictures,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._comparisons = comparisons
        self._engine = engine
        self._prompts = prompts
        self._pictures = pictures
        self._voting = Voting(comparisons, clock)
        self._monotonic = monotonic

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        question = Parameter(QUESTION, _("what to ask"))
        models = Parameter(
            "models",
            _("two to four models with commas between them, or lab"),
            ParameterKind.MODELS,
            is_required=False,
            keyword="models",
        )
        blind = Parameter(
            "blind",
            _("hide which model is which until you have voted"),
            is_required=False,
            keyword="blind",
            choices=("yes", "no"),
        )
        choice = Parameter(
            "choice",
            _("the best answer"),
            choices=tuple(name_of(action).lower() for action in (*VOTES, Action.VOTE_TIE)),
        )
        return (
            Command(
                "compare",
                _("Ask several models the same and vote for the best answer"),
                self.compare,
                (question, models, blind),
            ),
            Command("vote", _("Vote in the last comparison here"), self.vote, (choice,)),
            Command("leaderboard", _("Show which models people prefer"), self.leaderboard),
        )

    async def compare(self, caller: Caller, arguments: Mapping[str, str]) -> Outcome:
        """Ask each model with its own history; a round that was answered is shown as it is now."""
        done = await self._comparisons.find(caller.message_id)
        if done is not None:
            return await self._shown(done, caller)
        question = clean(arguments[QUESTION])
        earlier = await self._comparisons.earlier(caller.message_id, MAX_ROUNDS)
        last = earlier[-1] if earlier else None
        entries = self._choose(arguments.get("models"), last)
        is_blind = _is_blind(arguments.get("blind"), last)
        ordered = _in_order(entries, last) if is_blind else entries
        where, who = caller.conversation, caller.author
        settings = await self._prompts.settings(where, who)

        def request(model: str) -> GenerationRequest:
            turns = [*_own_history(model, earlier), Turn(Role.USER, question)]
            return self._prompts.request(where, who, settings, self._models.get(model), turns)

        names = [entry.name for entry in ordered]

        async def work(stage: Stage) -> Said:
            answers = await self._ask(names, request, stage, is_blind=is_blind)
            await self._comparisons.save(caller.message_id, answers, is_blind=is_blind)
            round_ = await self._comparisons.find(caller.message_id)
            assert round_ is not None, "it was saved just now"
            return await self._shown(round_, caller)

        return Work(work)

    async def vote(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Vote by command, where there are no buttons; tells the models to who asked."""
        round_ = await self._comparisons.latest(caller.message_id)
        if round_ is None:
            raise UsageError(_("Nothing was compared here yet. Begin with `/compare QUESTION`."))
        wanted = arguments["choice"].lower()
        actions = (*VOTES, Action.VOTE_TIE)
        action = next(one for one in actions if name_of(one).lower() == wanted)
        counted = await self._voting.cast(round_, caller.author, action)
        if not counted.round.is_revealed:
            return Said(counted.text, is_private=True)
        votes = await self._comparisons.votes(counted.round)
        picture = await self._picture(counted.round, votes, caller)
        return Said(f"{counted.text}\n\n{whole(counted.round, votes)}", picture=picture)

    async def leaderboard(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Every model that was voted on, the best first."""
        votes = await self._comparisons.votes()
        if not votes:
            raise UsageError(
                _("Nobody has voted yet. `/compare QUESTION` asks several models; then vote.")
            )
        ranked = standings(votes)
        picture = await self._pictures.leaderboard(ranked) if caller.has_pictures else None
        return Said(table(ranked, votes), picture=picture)

    async def _shown(self, round_: Round, caller: Caller) -> Said:
        votes = await self._comparisons.votes(round_)
        text = whole(round_, votes)
        actions = offered(round_)
        if not actions:
            hint = _("Fewer than two models answered, so there is nothing to vote on.")
        elif caller.has_buttons:
            hint = _("Which answer is the best?")
        else:
            hint = _("Which answer is the best? Vote with `/vote A`, or with `/vote tie`.")
        picture = await self._picture(round_, votes, caller)
        return Said(f"{text}\n\n{hint}", actions=actions, picture=picture)

    async def _picture(
        self, round_: Round, votes: Sequence[Vote], caller: Caller
    ) -> Picture | None:
        """The card of a round that was voted on and names its models."""
        is_told = round_.is_revealed and votes
        return (
            await self._pictures.comparison(round_, votes)
            if is_told and caller.has_pictures
            else None
        )

    async def _ask(
        self,
        models: Sequence[str],
        request: Callable[[str], GenerationRequest],
        stage: Stage,
        *,
        is_blind: bool,
    ) -> list[Contender]:
        comparison = Comparison(models, self._monotonic())
        growing = GrowingRound(stage.feed, is_blind=is_blind)
        asking: str | None = None
        async with (
            aclosing(compare(self._engine, models, request)) as events,
            telling(stage.tell) as hear,
        ):
            async for model, event in events:
                before = {one.model: one.text for one in comparison.contestants}[model]
                contestant = comparison.apply(model, event, self._monotonic())
                if is_blind and isinstance(event, Loading):
                    event = replace(event, model=_("a model"))
                await hear(event)
                if isinstance(event, Loading | Waiting):
                    continue
                if model != asking:
                    asking = model
                    growing.begin(model)
                _show(growing, contestant, event, is_first=not before.strip())
        return [_contender(one) for one in comparison.contestants]

    def _choose(self, given: str | None, last: Round | None) -> list[ModelEntry]:
        """The models that were named; else those of the last round; else the lab's, or any."""
        if given is None and last is not None:
            wanted = [self._models.get(name) for name in last.models if name in self._models]
        elif given is None:
            wanted = self._default()
        else:
            names = [name for name in given.replace(",", " ").split() if name]
            wanted = [entry for name in names for entry in self._models.expand(name)]
        entries = list({entry.name: entry for entry in wanted}.values())
        if not MIN_MODELS <= len(entries) <= MAX_MODELS:
            raise UsageError(_wrong_number(entries, is_given=given is not None))
        for entry in entries:
            self._models.require_installed(entry)
        return entries

    def _default(self) -> list[ModelEntry]:
        installed = [entry for entry in self._models if self._models.is_installed(entry)]
        lab = [entry for entry in installed if LAB in entry.presets]
        return lab if len(lab) >= MIN_MODELS else installed[:MAX_MODELS]


def _wrong_number(entries: Sequence[ModelEntry], *, is_given: bool) -> str:
    named = ", ".join(entry.name for entry in entries) or _("none")
    if is_given:
        text = _(
            "MODELS takes two to four different models, as in `models fireside,blenderbot`; I read:"
            " {named}."
        )
    else:
        text = _(
            "A comparison takes two installed models; there is {named}. The owner of this bot runs"
            " `fireside models pull lab` to get three."
        )
    return text.format(named=named)


def _is_blind(given: str | None, last: Round | None) -> bool:
    """As asked for; else as in a last round whose models are not told yet."""
    if given is not None:
        return given.lower() == "yes"
    return last is not None and last.is_blind and not last.is_revealed


def _in_order(entries: Sequence[ModelEntry], last: Round | None) -> Sequence[ModelEntry]:
    """By lot; while a blind talk with the same models goes on, each keeps its letter."""
    names = [entry.name for entry in entries]
    if last is not None and not last.is_revealed and sorted(last.models) == sorted(names):
        return sorted(entries, key=lambda entry: last.models.index(entry.name))
    return random.sample(entries, len(entries))


def _own_history(model: str, rounds: Sequence[Round]) -> list[Turn]:
    """What this model was asked in earlier rounds, and what it said itself."""
    return [
        turn
        for earlier in rounds
        for answer in earlier.answers
        if answer.model == model and not answer.is_error and answer.text.strip()
        for turn in (Turn(Role.USER, earlier.question), Turn(Role.ASSISTANT, answer.text))
    ]


def _show(
    growing: GrowingRound, contestant: Contestant, event: EngineEvent, *, is_first: bool
) -> None:
    if isinstance(event, TextDelta):
        growing.add(event.text, is_first=is_first)
    elif contestant.finished is not None:
        answer = _contender(contestant)
        if answer.is_error:
            growing.add(answer.text[len(contestant.text.strip()) :], is_first=is_first)
        growing.end(answer)


def _contender(contestant: Contestant) -> Contender:
    """What is kept of an answer; where there is none the text says why."""
    text = contestant.text.strip()
    is_error = not contestant.has_answered or not text
    if is_error:
        why = contestant.error or _("I have no answer to that.")
        text = f"{text} ({why})" if text else f"({why})"
    return Contender(
        contestant.model, text, is_error, contestant.duration_s, contestant.tokens_per_s
    )
