"""People, places and the short ways to say what happened that the store's tests share."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.conversation import Role, Turn
from bot.messages import (
    Addressed,
    Answerable,
    Author,
    CommandInvoked,
    ConversationRef,
    IncomingMessage,
    ReplyTarget,
)
from bot.store.ports.inbox import Claim
from bot.store.ports.records import Answer, ReplyState, StoredMessage
from bot.store.ports.store import Store

ACCOUNT = "test:bot"
CHANNEL = ConversationRef("test", "home", "general")
THREAD = ConversationRef("test", "home", "general", "t1")
ANN = Author("ann", "Ann")
BEN = Author("ben", "Ben")
START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    """A time, in minutes after the start."""
    return START + timedelta(minutes=minutes)


def question(
    id: str,  # noqa: A002
    text: str = "why?",
    author: Author = ANN,
    where: ConversationRef = CHANNEL,
) -> IncomingMessage:
    """A question."""
    target = ReplyTarget(f"to-{id}", at(15), "elsewhere")
    return IncomingMessage(id, where, author, text, Addressed.MENTION, START, target)


def command(id: str, where: ConversationRef = CHANNEL, **arguments: str) -> CommandInvoked:  # noqa: A002
    """A command."""
    return CommandInvoked(id, where, ANN, "ask", arguments, START, ReplyTarget(f"to-{id}"))


def user(text: str, name: str = "Ann") -> Turn:
    """What somebody asked."""
    return Turn(Role.USER, text, name)


def said(text: str) -> Turn:
    """What the bot said."""
    return Turn(Role.ASSISTANT, text)


@dataclass
class Scene:
    """A store in which things happen at given minutes."""

    store: Store

    async def admit(self, event: Answerable, minute: float = 0) -> StoredMessage:
        """An event arrives."""
        message = await self.store.inbox.admit(ACCOUNT, event, at(minute))
        assert message is not None
        return message

    async def claim(
        self, message: StoredMessage, minute: float = 0, worker: str = "worker"
    ) -> Claim:
        """A worker takes a message for a minute."""
        claim = await self.try_to_claim(message, minute, worker)
        assert claim is not None
        return claim

    async def try_to_claim(
        self, message: StoredMessage, minute: float = 0, worker: str = "worker"
    ) -> Claim | None:
        """A worker takes a message for a minute, if it may."""
        now = at(minute)
        return await self.store.inbox.claim(message.id, worker, now, now + LEASE)

    async def answer(
        self,
        message: StoredMessage,
        answer: str | Answer,
        minute: float = 0,
        state: ReplyState = ReplyState.ANSWERED,
    ) -> None:
        """A message is answered at a minute."""
        claim = await self.claim(message, minute)
        answer = Answer(answer) if isinstance(answer, str) else answer
        await self.store.inbox.save_answer(claim, answer)
        await self.store.inbox.finish(claim, state, at(minute))

    async def exchange(
        self, event: Answerable, answer: str | Answer, minute: float = 0
    ) -> StoredMessage:
        """An event arrives and is answered at once."""
        message = await self.admit(event, minute)
        await self.answer(message, answer, minute)
        return message

    async def turns(
        self, event: Answerable | None = None, minute: float = 60, limit: int = 100
    ) -> list[Turn]:
        """The turns that an event sees that arrives at a minute."""
        message = await self.admit(event or question("latest"), minute)
        return [*await self.store.history.turns(message, limit)]
