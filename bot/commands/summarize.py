"""/summarize: what was said, point by point, each with its source; read live and kept nowhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.command import (
    Caller,
    Command,
    MessageMenu,
    OfMessage,
    Outcome,
    Parameter,
    Said,
    Stage,
    Work,
    shorten,
)
from bot.commands.message_span import (
    MAX_MESSAGES,
    Span,
    dialogue,
    pieces,
    since_own,
    source_of,
    span,
)
from bot.commands.task_models import Doer, Done, TaskModels
from bot.commands.task_prompts import overview, summary
from bot.engine.base import Priority
from bot.errors import MessageGone, PlatformError, UsageError
from bot.messages import MessageReader, PastMessage
from bot.text import clean
from bot.translations import gettext as _
from config.catalogue import ModelEntry, Task

CHARS_PER_TOKEN = 3
"""A cautious guess; a piece that turns out too long is halved and asked again."""

MIN_PIECE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a summary and the message it comes from."""

    text: str
    source: PastMessage

    @property
    def line(self) -> str:
        """The point in CommonMark, with a link where the platform has links."""
        time = f"{self.source.sent_at:%H:%M}"
        label = f"{_plain(self.source.author.name)}, {time}"
        shown = f"[{label}]({self.source.link})" if self.source.link else label
        return f"- {self.text} ({shown})"


@dataclass(slots=True)
class Skipped:
    """How much is not in a summary: messages, shortened messages, pieces."""

    without_text: int = 0
    own: int = 0
    shortened: int = 0
    unanswered: int = 0
    is_full: bool = False

    def sentence(self) -> str:
        """All of it; "" for nothing."""
        counted = (
            (self.without_text, _("messages without text that I may read")),
            (self.own, _("my own messages")),
            (self.shortened, _("the ends of long messages")),
            (self.unanswered, _("parts that the model had nothing to say about")),
        )
        parts = [f"{what} ({count})" for count, what in counted if count]
        if self.is_full:
            parts.append(_("all before the latest {most}").format(most=MAX_MESSAGES))
        return _("Skipped: {what}.").format(what=", ".join(parts)) if parts else ""


class SummarizeCommands:
    """The command /summarize."""

    def __init__(self, task_models: TaskModels, clock: Callable[[], datetime]) -> None:
        self._task_models = task_models
        self._clock = clock

    def commands(self) -> tuple[Command, ...]:
        """The definition."""
        what = Parameter(
            "what",
            _("a number of messages, a time (2h, 14:30), mine or thread"),
            is_required=False,
        )
        return (
            Command(
                "summarize",
                _("Sum up what was said here"),
                self.summarize,
                (what,),
                is_private=True,
                menu=MessageMenu(_("Summarize from here"), "what", OfMessage.ID),
            ),
        )

    async def summarize(self, caller: Caller, arguments: Mapping[str, str]) -> Outcome:
        """Read, split, sum up each piece, and sum up the sums."""
        if caller.reader is None:
            raise UsageError(_("On this platform I cannot read what was said."))
        is_in_thread = caller.conversation.thread_id is not None
        wanted = span(arguments.get("what"), self._clock(), is_in_thread=is_in_thread)
        doer = await self._task_models.choose(caller, Task.SUMMARIZE)
        skipped = Skipped()
        messages = await _read(caller.reader, caller, wanted, skipped)

        async def work(stage: Stage) -> Said:
            return await _Summary(self._task_models, caller, doer, stage, skipped).of(messages)

        return Work(work, is_private=True)


class _Summary:
    """One summary while it is made."""

    def __init__(
        self,
        task_models: TaskModels,
        caller: Caller,
        doer: Doer,
        stage: Stage,
        skipped: Skipped,
    ) -> None:
        self._task_models = task_models
        self._caller = caller
        self._doer = doer
        self._stage = stage
        self._skipped = skipped

    async def of(self, messages: Sequence[PastMessage]) -> Said:
        """The points, and the gist of them where there are several."""
        points: list[Point] = []
        row = pieces(messages, _room(self._doer.entry))
        for index, piece in enumerate(row):
            text = _("Reading part {part} of {parts}")
            await self._stage.tell(text.format(part=index + 1, parts=len(row)), index / len(row))
            for point in await self._points(piece):
                self._stage.feed(("\n" if points else "") + point.line)
                points.append(point)
        if not points:
            raise UsageError(_("{name} had nothing to say about it.").format(name=self._name))
        parts = ["\n".join(point.line for point in points)]
        if len(points) > 1:
            gist = await self._gist([point.text for point in points])
            parts += [f"**{_('In short:')}** {gist}"] if gist else []
        parts.append(self._skipped.sentence())
        text = "\n\n".join(part for part in parts if part)
        return Said(text, is_private=True, footer=self._doer.footer)

    async def _points(self, piece: Sequence[PastMessage]) -> list[Point]:
        """The point of a piece; one that the model could not read whole is halved, or cut."""
        instruction = summary(self._doer.entry.family, dialogue(piece))
        done = await self._ask(instruction)
        if done.was_too_long and len(piece) > 1:
            middle = len(piece) // 2
            return [*await self._points(piece[:middle]), *await self._points(piece[middle:])]
        if done.was_too_long and len(piece[0].text) > MIN_PIECE_CHARS:
            self._skipped.shortened += 1
            shorter = piece[0].text[: max(len(piece[0].text) // 2, MIN_PIECE_CHARS)]
            return await self._points([replace(piece[0], text=shorter)])
        text = " ".join(done.text.split()).lstrip("-*# ")
        if not text:
            self._skipped.unanswered += 1
            return []
        return [Point(text, source_of(text, piece))]

    async def _gist(self, points: Sequence[str]) -> str:
        """The sum of the points; where they are too many for the window, of sums of them."""
        done = await self._ask(overview(self._doer.entry.family, points))
        if done.was_too_long and len(points) > 2:
            middle = len(points) // 2
            halves = [await self._gist(points[:middle]), await self._gist(points[middle:])]
            return await self._gist([half for half in halves if half])
        return " ".join(done.text.split())

    async def _ask(self, instruction: str) -> Done:
        return await self._task_models.ask(
            self._caller, self._doer, instruction, self._stage, priority=Priority.BACKGROUND
        )

    @property
    def _name(self) -> str:
        return self._doer.entry.name


async def _read(
    reader: MessageReader, caller: Caller, wanted: Span, skipped: Skipped
) -> Sequence[PastMessage]:
    """The messages that are meant and can be summed up. Raises `UsageError` for none."""
    try:
        read = await reader.recent(caller.conversation, wanted.count, wanted.since, wanted.since_id)
    except MessageGone as error:
        text = _(
            "“{id}” is no message of this channel. Choose Summarize from here in a message's menu,"
            " or give a number of messages (50) or a time in UTC (2h, 14:30)."
        )
        raise UsageError(text.format(id=shorten(wanted.since_id or ""))) from error
    except PlatformError as error:
        text = _(
            "I could not read what was said here. Give me the permission to read the message"
            " history of this channel, or try again."
        )
        raise UsageError(text) from error
    skipped.is_full = len(read) >= MAX_MESSAGES
    if wanted.is_since_mine:
        read = since_own(read, caller.author.id)
    cleaned = [replace(one, text=clean(one.text)) for one in read]
    others = [one for one in cleaned if not one.is_own]
    skipped.own = len(cleaned) - len(others)
    found = [one for one in others if one.text]
    skipped.without_text = len(others) - len(found)
    if not found:
        nothing = _("There is nothing to sum up: I see no messages with text there.")
        raise UsageError(" ".join(part for part in (nothing, skipped.sentence()) if part))
    return found


def _room(entry: ModelEntry) -> int:
    """How many characters of dialogue a prompt holds, beside its instruction and an answer."""
    answer = entry.sampling.max_tokens or 128
    return max((entry.context_tokens - min(answer, entry.context_tokens // 3) - 40), 64) * (
        CHARS_PER_TOKEN
    )


def _plain(name: str) -> str:
    """A name without what would end a link."""
    return "".join(character for character in name if character not in "[]()")
