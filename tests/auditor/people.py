"""People who ask the bot on a loopback platform, and note what they asked."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from typing_extensions import override

from tests.auditor.audit import Asked, Forgotten, Report, Verdict, audit
from tests.auditor.wording import Wanted
from tests.doubles.discord_objects import BOT_ID
from tests.doubles.discord_server import DiscordServer
from tests.doubles.journal import Written
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import SlackServer


class People(ABC):
    """Everybody on one platform. The same seed asks with the same nonces."""

    def __init__(self, seed: int = 0) -> None:
        self.asked: list[Asked] = []
        self.forgotten: list[Forgotten] = []
        self.deleted: list[Asked] = []
        self.deaths: list[float] = []
        self._random = random.Random(seed)

    @property
    @abstractmethod
    def journal(self) -> Sequence[Written]:
        """What the platform was made to show."""

    @abstractmethod
    async def _say(self, text: str, author: str, place: str, *, is_heard: bool) -> tuple[str, str]:
        """Say something to the bot; its id, and the place of its answer."""

    @abstractmethod
    async def edit(self, asked: Asked) -> None:
        """Put a question a little otherwise; its answer stays the same."""

    @abstractmethod
    async def _delete(self, asked: Asked) -> None:
        """Delete a question."""

    async def delete(self, asked: Asked) -> None:
        """Delete a question: from now on nothing of its answer is expected."""
        self.asked.remove(asked)
        self.deleted.append(asked)
        await self._delete(asked)

    async def ask(
        self,
        author: str,
        place: str,
        words: int = 8,
        seconds: float = 0.1,
        *,
        recalls: bool = False,
        is_heard: bool = True,
    ) -> Asked:
        """Ask for an answer of so many words; unheard, the platform's events say nothing of it."""
        nonce = f"q{self._random.randrange(1 << 24):06x}"
        text = Wanted(nonce, words, seconds, recalls).question()
        at = time.monotonic()
        question_id, where = await self._say(text, author, place, is_heard=is_heard)
        self.asked.append(Asked(nonce, question_id, author, where, words, at))
        return self.asked[-1]

    def report(self) -> Report:
        """The auditor's judgement of what there is now."""
        return audit(self.asked, self.journal, forgotten=self.forgotten, deaths=self.deaths)

    def is_settled(self) -> bool:
        """Whether every question has a whole answer, or was told why not."""
        report = self.report()
        open_still = {*report.of(Verdict.LOST), *report.of(Verdict.INCOMPLETE)}
        return not open_still


class DiscordPeople(People):
    """The members of the loopback guild; a place is a channel's id."""

    def __init__(self, server: DiscordServer, seed: int = 0) -> None:
        super().__init__(seed)
        self.server = server

    @property
    @override
    def journal(self) -> Sequence[Written]:
        return self.server.journal

    @override
    async def _say(self, text: str, author: str, place: str, *, is_heard: bool) -> tuple[str, str]:
        said = await self.server.say(f"<@{BOT_ID}> {text}", author, place, is_heard=is_heard)
        return said, place

    @override
    async def edit(self, asked: Asked) -> None:
        await self.server.edit(asked.id, f"{self.server.messages[asked.id]['content']} please")

    @override
    async def _delete(self, asked: Asked) -> None:
        await self.server.delete(asked.id)


class SlackPeople(People):
    """The members of the loopback workspace; a place is a channel, or a thread as `C1/1.2`."""

    def __init__(self, server: SlackServer, seed: int = 0) -> None:
        super().__init__(seed)
        self.server = server

    @property
    @override
    def journal(self) -> Sequence[Written]:
        return self.server.journal

    @override
    async def _say(self, text: str, author: str, place: str, *, is_heard: bool) -> tuple[str, str]:
        channel, _slash, thread_ts = place.partition("/")
        member = Member(self.server, author)
        ts = await member.say(f"{MENTION} {text}", channel, thread_ts or None, is_heard=is_heard)
        return f"{channel}:{ts}", f"{channel}/{thread_ts or ts}"

    @override
    async def edit(self, asked: Asked) -> None:
        channel, _colon, ts = asked.id.partition(":")
        text = self.server.workspace.one(channel, ts)["text"]
        await Member(self.server, asked.author).edit(channel, ts, f"{text} please")

    @override
    async def _delete(self, asked: Asked) -> None:
        channel, _colon, ts = asked.id.partition(":")
        await Member(self.server, asked.author).delete(channel, ts)
