"""The store's ports: what must survive a restart, and the guarantees that hold for it.

Each port is a protocol of its own; `Store` bundles them. Every write is durable when it returns,
and every failure of the database is a `bot.errors.StoreUnavailable`. Times are aware UTC
datetimes, given by the caller (no port reads a clock).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bot.adapter import AdapterState
from bot.conversation import Turn
from bot.messages import (
    Action,
    Answerable,
    CommandInvoked,
    ConversationRef,
    Figures,
    IncomingMessage,
)


class MessageState(StrEnum):
    """Where a message stands."""

    RECEIVED = "received"
    ANSWERED = "answered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    HEARD = "heard"
    UNDONE = "undone"


class ReplyState(StrEnum):
    """Where one attempt at an answer stands."""

    ANSWERING = "answering"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REPLACED = "replaced"


class Rating(StrEnum):
    """What a member thinks of an answer."""

    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An event that is to be answered exactly once; `id` grows with arrival."""

    id: int
    account: str
    event: Answerable
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """One posted message of a reply; `key` is what it was posted with."""

    index: int
    platform_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer and how it came about, before it is wholly delivered.

    `asked` is the question that a command put to the model, "" where it went on with the answer
    before; None where the message itself is the question, or no model was asked.
    `text` is what was said and becomes context; `notice` is a word of ours that is shown after it
    ("Stopped.") and is not. `actions` are the buttons under it.
    """

    text: str
    model: str | None = None
    finish_reason: str | None = None
    generated_tokens: int = 0
    is_error: bool = False
    is_private: bool = False
    notice: str | None = None
    footer: str | None = None
    seconds: float | None = None
    tokens_per_s: float | None = None
    actions: tuple[Action, ...] = ()
    asked: str | None = None

    @property
    def figures(self) -> Figures | None:
        """How it came about, where a model said it."""
        if self.model is None or self.seconds is None:
            return None
        return Figures(self.model, self.seconds, self.tokens_per_s)

    @property
    def shown(self) -> str:
        """The whole text to show."""
        return "\n\n".join(part for part in (self.text, self.notice) if part)


@dataclass(frozen=True, slots=True)
class Claim:
    """One process's right to answer one message, until its lease ends.

    `attempt` counts from 1; `crashes` counts the earlier attempts that a process died in; `parts`
    are what earlier attempts posted; `answer` is there when an earlier attempt finished the text.
    """

    message: StoredMessage
    reply_id: int
    attempt: int
    fence: int
    worker: str
    crashes: int
    parts: tuple[ReplyPart, ...] = ()
    answer: Answer | None = None


class Inbox(Protocol):
    """Messages to answer and the claims on them.

    A claim's writes check its fence: after another worker claimed the message, or its author
    withdrew it, each of them raises `LeaseLost` and changes nothing.
    """

    async def admit(
        self, account: str, event: Answerable, received_at: datetime
    ) -> StoredMessage | None:
        """Store an event and its deduplication key in one transaction; None if seen before.

        `IncomingMessage.quoted` is live context: the message returned here still carries it, no
        later one does, as it is not stored.
        """
        ...

    async def hear(self, account: str, event: IncomingMessage, received_at: datetime) -> None:
        """Store what people said to each other, for later turns; as `admit`, but to no answer."""
        ...

    async def reopen(
        self, account: str, message_id: str, action_id: str, now: datetime
    ) -> StoredMessage | None:
        """Make an answered or failed message wait for a new answer, as if it came now.

        `message_id` is the platform's. The new answer takes the place of the last one: its parts
        pass on, its text does not. Stored with the deduplication key `action_id` in one
        transaction; None if that was seen before, or the message is unknown, withdrawn or waits.
        """
        ...

    async def claim(
        self, message_id: int, worker: str, now: datetime, lease_until: datetime
    ) -> Claim | None:
        """Claim a received message; None if it is answered, withdrawn or claimed by a live lease.

        An attempt whose lease ran out is marked failed and counted as a crash; its parts and its
        finished text pass to the new attempt.
        """
        ...

    async def renew(self, claim: Claim, lease_until: datetime) -> None:
        """Make the lease last longer."""
        ...

    async def save_part(self, claim: Claim, part: ReplyPart) -> None:
        """Record a posted (or newly shown) part of the reply."""
        ...

    async def save_answer(self, claim: Claim, answer: Answer) -> None:
        """Record the finished text before its last parts are shown."""
        ...

    async def finish(
        self, claim: Claim, state: ReplyState, now: datetime, replaces: int | None = None
    ) -> None:
        """End the attempt; the message becomes answered, or failed (state failed).

        Where it is answered, the message with the id `replaces` leaves the context.
        A cancelled reply is an answer too: the member asked for it to stop.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Hand an unfinished message back (graceful shutdown): not a crash, claimable at once."""
        ...


@dataclass(frozen=True, slots=True)
class ShownReply:
    """A model's finished answer to a message, and the messages that show it."""

    message: StoredMessage
    answer: Answer
    parts: tuple[ReplyPart, ...]
    finished_at: datetime


class Replies(Protocol):
    """What is shown of finished answers."""

    async def to(self, account: str, message_id: str) -> ShownReply | None:
        """A model's answer to a message, by the platform's id; None while there is none."""
        ...

    async def before(self, later: StoredMessage) -> ShownReply | None:
        """The model's last answer to the same member in the same conversation before a message."""
        ...


PERSONAL_SCOPE = "me"
"""The kind of scope that belongs to a member and to no installation."""


def scope_id(*parts: str) -> str:
    """The id of a scope: the ids that lead to it, the platform first, between slashes."""
    return "/".join(part.replace("/", "%2F") for part in parts)


def scope_parts(scope: "ScopeKey") -> tuple[str, ...]:
    """The ids that lead to a scope; none for the one that is everywhere."""
    return tuple(part.replace("%2F", "/") for part in scope.id.split("/")) if scope.id else ()


@dataclass(frozen=True, slots=True)
class ScopeKey:
    """One place that a setting can hold for: a kind ("channel") and which one."""

    kind: str
    id: str


class Recovery(Protocol):
    """What a starting process and the daily sweep need of the inbox."""

    async def take_over(self, account: str) -> None:
        """End all leases of an account whose lock the caller holds: their owners are dead.

        Each is a crash of its attempt; a claim that lives after all is lost.
        """
        ...

    async def unanswered(self, account: str, now: datetime) -> Sequence[StoredMessage]:
        """Received messages of the account that no live lease covers, oldest first.

        A bounded number of them: ask again when they are answered. One that cannot be read is
        marked as failed and left out.
        """
        ...

    async def purge(
        self,
        older_than: datetime,
        rules: Sequence[tuple[ScopeKey, datetime]] = (),
        removed_before: datetime | None = None,
    ) -> int:
        """Delete messages received before then, with their replies; returns how many.

        In a place of `rules` its own time counts: that of the first rule which a message is in.
        Those that came before their installation was marked as removed go too, where that was
        before `removed_before` (None: whenever). Deduplication keys hold no content and stay a
        week longer than the messages, the trail of settings a year.
        """
        ...


class History(Protocol):
    """The turns of conversations."""

    async def turns(
        self, message: StoredMessage, limit: int, *, only_own: bool = False
    ) -> Sequence[Turn]:
        """The turns before a message, oldest first, as they stood when it arrived.

        Pairs of question and answer of its conversation since the last reset, of messages that
        arrived before it and were answered by then, or that its own author asked; and what was
        heard before it. At most `limit` of both, the newest. Failed, withdrawn, undone and empty
        answers are left out, commands that asked no model, and private answers that another
        member got; with `only_own` all that its own author did not say. What went on with an
        answer is part of its turn.
        """
        ...

    async def reset(self, conversation: ConversationRef, message_id: int, now: datetime) -> None:
        """Start afresh: questions that arrive after this stored message see none from before."""
        ...

    async def edit(self, account: str, message_id: str, text: str) -> StoredMessage | None:
        """Change a stored question's text; None where nothing changes.

        That is: there is no such message, it was withdrawn, it reads so already, or it is a
        command, which has no text to change.
        """
        ...

    async def withdraw(self, account: str, message_id: str) -> StoredMessage | None:
        """Blank a question and its answers and take both out of the context; None if unknown.

        A claim on it is lost. The parts already posted stay recorded.
        """
        ...

    async def find(self, account: str, message_id: str) -> StoredMessage | None:
        """A stored message by the platform's id."""
        ...

    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        """Whether a message that is still kept addressed the bot in this conversation.

        Commands and withdrawn messages do not count, nor, with `before`, the message that the
        platform knows by this id and what arrived after it.
        """
        ...

    async def mark_removed(self, platform: str, installation_id: str, now: datetime) -> None:
        """Mark an installation's data for purging: the next purge deletes what came before."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question that was put to a model, and how it was answered: None where that failed.

    With `is_continuation` there was no question: the answer before was gone on with.
    """

    message: StoredMessage
    question: str
    answer: Answer | None
    is_continuation: bool


class Exchanges(Protocol):
    """Single pairs of question and answer."""

    async def chain(self, message: StoredMessage, limit: int) -> Sequence[Turn]:
        """The turns that a message replies to, oldest first: the answer, its question, and so on.

        At most `limit` pairs, the newest, of those that `History.turns` could give, whenever they
        ended.
        """
        ...

    async def last(self, before: int) -> Exchange | None:
        """The last exchange of the same member, in the same conversation, since its last reset.

        `before` is the id of a stored message that came later. What was withdrawn or undone does
        not count.
        """
        ...

    async def get(self, message_id: int) -> StoredMessage | None:
        """A stored message by its own id."""
        ...

    async def undo(self, message_id: int) -> bool:
        """Take an ended exchange out of the context; False if there is none with that id."""
        ...

    async def speeds(self) -> Mapping[str, float]:
        """Each model's median speed over its latest answers, in tokens a second."""
        ...


@dataclass(frozen=True, slots=True)
class Feedback:
    """A question, its answer and what who asked thought of it, kept because they agreed."""

    model: str
    question: str
    answer: str
    rating: Rating
    kept_at: datetime


class Ratings(Protocol):
    """What members think of answers; words are kept with it only where who said them agreed."""

    async def rate(
        self, account: str, message_id: str, rater_id: str, rating: Rating, now: datetime
    ) -> bool:
        """Rate the answer to a question, replacing the member's earlier rating of it.

        `message_id` is the platform's. False if the question is not there any more. A rating goes
        with its question.
        """
        ...

    async def of(self, account: str, message_id: str) -> Mapping[str, Rating]:
        """All ratings of the answer to a question, by the member's id."""
        ...

    async def keep(self, asked: StoredMessage, now: datetime) -> bool:
        """Keep a question and a model's present answer with its author's rating.

        It outlives the message, and follows a later rating of it. False without an answer or a
        rating. It goes when the question is withdrawn, or the bot is removed from there.
        """
        ...

    async def kept(self) -> Sequence[Feedback]:
        """All that was kept, in the order it was."""
        ...


@dataclass(frozen=True, slots=True)
class Contender:
    """One model's answer in a comparison; with `is_error` the text says why there is none."""

    model: str
    text: str
    is_error: bool = False
    seconds: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One question to several models and their answers, in the order shown.

    Without `answers` its models have not answered yet. `is_revealed` says that a blind one has
    told its models.
    """

    message: StoredMessage
    answers: tuple[Contender, ...]
    is_blind: bool = False
    is_revealed: bool = False

    @property
    def question(self) -> str:
        """What was asked."""
        event = self.message.event
        return event.arguments["question"] if isinstance(event, CommandInvoked) else event.text

    @property
    def models(self) -> tuple[str, ...]:
        """Who answered, in the order shown."""
        return tuple(answer.model for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Vote:
    """One member's word on a comparison; `winner` is None where no answer was the best.

    `voter_id` is None once the comparison itself is no longer kept.
    """

    voter_id: str | None
    models: tuple[str, ...]
    winner: str | None
    was_blind: bool
    voted_at: datetime


class Comparisons(Protocol):
    """Comparisons of models and the votes on them."""

    async def save(self, message_id: int, answers: Sequence[Contender], *, is_blind: bool) -> None:
        """Keep the answers to a stored question; they go with it."""
        ...

    async def earlier(self, message_id: int, limit: int) -> Sequence[Round]:
        """The rounds before this stored message, oldest first, at most `limit`, the newest.

        Those of its author in its conversation, since the last reset.
        """
        ...

    async def find(self, message_id: int) -> Round | None:
        """The round of a stored message."""
        ...

    async def latest(self, message_id: int) -> Round | None:
        """The last round, whoever's, in the conversation of this stored message, before it."""
        ...

    async def vote(self, round_: Round, vote: Vote, *, reveals: bool) -> None:
        """Keep a vote, replacing its voter's earlier one on that round; tell the models if
        `reveals`."""
        ...

    async def votes(self, round_: Round | None = None) -> Sequence[Vote]:
        """The votes on one round, or all there are, in the order they were cast."""
        ...


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A value somebody set in a scope; `is_locked` keeps narrower scopes from changing it."""

    scope: ScopeKey
    name: str
    value: str
    is_locked: bool
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """What a scope holds of a setting."""

    value: str
    is_locked: bool = False


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One change of a setting in a scope: what it held before and after, None for nothing.

    `by` is who changed it, as platform:user id; `undoes` is the id of the change it takes back.
    """

    id: int
    scope: ScopeKey
    name: str
    before: Held | None
    after: Held | None
    by: str
    at: datetime
    undoes: int | None = None


class SettingsTable(Protocol):
    """The scoped settings, and the trail of their changes."""

    async def read(self, name: str, scopes: Sequence[ScopeKey]) -> Sequence[StoredSetting]:
        """The values of a setting in any of these scopes, in no order."""
        ...

    async def read_all(self, scopes: Sequence[ScopeKey]) -> Sequence[StoredSetting]:
        """The values of every setting in any of these scopes, in no order."""
        ...

    async def write(
        self,
        scope: ScopeKey,
        name: str,
        held: Held | None,
        by: str,
        at: datetime,
        undoes: int | None = None,
    ) -> None:
        """Let a scope hold this value, or none, and add the change to the trail.

        What changes nothing leaves no trace.
        """
        ...

    async def everywhere(self, name: str) -> Sequence[StoredSetting]:
        """The values of a setting in every scope, in no order."""
        ...

    async def changes(self, scopes: Sequence[ScopeKey], limit: int) -> Sequence[SettingChange]:
        """The last changes in any of these scopes, the newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Person:
    """A member as their platform knows them."""

    platform: str
    id: str


class Erasure(Protocol):
    """What is stored of a person or of a place, by the table's name, and its removal.

    `before` is the id of the command that asks for this: that and what came after it stay.
    """

    async def stored(self, person: Person, before: int | None = None) -> Mapping[str, int]:
        """How many rows of each table are a person's or name them; tables without any are left
        out."""
        ...

    async def export(self, person: Person) -> Mapping[str, Sequence[Mapping[str, object]]]:
        """Those rows, column by column."""
        ...

    async def forget(self, person: Person, before: int | None = None) -> Mapping[str, int]:
        """Delete them, and take the person's name off what belongs to others; returns how many.

        Nothing of it is left in the files.
        """
        ...

    async def stored_in(
        self, channel: ConversationRef, before: int | None = None
    ) -> Mapping[str, int]:
        """How many rows of each table belong to a channel and its threads."""
        ...

    async def forget_channel(
        self, channel: ConversationRef, before: int | None = None
    ) -> Mapping[str, int]:
        """Delete them; returns how many. Nothing of it is left in the files."""
        ...

    async def drop(self, message_id: int) -> None:
        """Delete one message with all that goes with it; nothing of it is left in the files."""
        ...

    async def conversations(self, person: Person) -> Sequence[ConversationRef]:
        """Where a person's messages are stored."""
        ...


@dataclass(frozen=True, slots=True)
class Used:
    """What was had in one hour by who is counted under a key."""

    counted: str
    hour: datetime
    answers: int
    tokens: int


class Usages(Protocol):
    """How many answers and tokens were had, by the hour."""

    async def since(self, time: datetime, counted: Sequence[str]) -> Sequence[Used]:
        """What was had under these keys in the hours that began then or later."""
        ...

    async def add(
        self, counted: Sequence[str], hour: datetime, *, answers: int = 0, tokens: int = 0
    ) -> None:
        """Add to each of these keys; what is older than two days goes."""
        ...


class Store(Protocol):
    """All ports over one database. `open` creates and migrates it; `close` ends it."""

    @property
    def inbox(self) -> Inbox:
        """Messages to answer."""
        ...

    @property
    def recovery(self) -> Recovery:
        """Messages left over."""
        ...

    @property
    def history(self) -> History:
        """Turns of conversations."""
        ...

    @property
    def replies(self) -> Replies:
        """Finished answers."""
        ...

    @property
    def exchanges(self) -> Exchanges:
        """Single questions and answers."""
        ...

    @property
    def ratings(self) -> Ratings:
        """What members think of answers."""
        ...

    @property
    def comparisons(self) -> Comparisons:
        """Comparisons of models and the votes on them."""
        ...

    @property
    def erasure(self) -> Erasure:
        """What is stored of people and places, and its removal."""
        ...

    @property
    def usages(self) -> Usages:
        """What was had of quotas."""
        ...

    @property
    def settings(self) -> SettingsTable:
        """Scoped settings."""
        ...

    def adapter_state(self, adapter: str) -> AdapterState:
        """The small state of one adapter."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...
