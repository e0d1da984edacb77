"""Comparisons of models and the votes on them, over the database."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import (
    ColumnElement,
    FromClause,
    RowMapping,
    Select,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from bot.store.ports.comparisons import Comparisons, Contender, Round, Vote
from bot.store.sql.database import Database
from bot.store.sql.events import stored_message
from bot.store.sql.schema import comparison, contender, conversation, message
from bot.store.sql.schema import vote as votes
from bot.store.sql.sqlite import put

PLACE = ("account", "platform", "installation_id", "channel_id", "thread_id")


class SqlComparisons(Comparisons):
    """The tables `comparison`, `contender` and `vote`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def save(self, message_id: int, answers: Sequence[Contender], *, is_blind: bool) -> None:
        row = {"message_id": message_id, "is_blind": is_blind, "is_revealed": not is_blind}
        rows = [
            {"message_id": message_id, "position": position, **asdict(answer)}
            for position, answer in enumerate(answers)
        ]
        async with self._database.writing() as connection:
            await connection.execute(put(comparison, row))
            earlier = delete(contender).where(contender.c.message_id == message_id)
            await connection.execute(earlier)
            await connection.execute(insert(contender), rows)

    @override
    async def earlier(self, message_id: int, limit: int) -> Sequence[Round]:
        here = message.alias("here")
        is_own = message.c.author_id == here.c.author_id
        mark = select(conversation.c.reset_mark).where(
            *(conversation.c[name] == message.c[name] for name in PLACE[1:])
        )
        since_reset = message.c.id > func.coalesce(mark.scalar_subquery(), 0)
        newest_first = (
            _rounds()
            .join(here, and_(*_same_place(here), is_own, since_reset, message.c.id < here.c.id))
            .where(here.c.id == message_id)
            .order_by(message.c.id.desc())
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return (await _read(connection, newest_first))[::-1]

    @override
    async def find(self, message_id: int) -> Round | None:
        async with self._database.reading() as connection:
            found = await _read(connection, _rounds().where(message.c.id == message_id))
            return found[0] if found else None

    @override
    async def latest(self, message_id: int) -> Round | None:
        here = message.alias("here")
        newest = (
            _rounds()
            .join(here, and_(*_same_place(here), message.c.id < here.c.id))
            .where(here.c.id == message_id)
            .order_by(message.c.id.desc())
            .limit(1)
        )
        async with self._database.reading() as connection:
            found = await _read(connection, newest)
            return found[0] if found else None

    @override
    async def vote(self, round_: Round, vote: Vote, *, reveals: bool) -> None:
        asked = round_.message
        row = {
            "account": asked.account,
            "event_id": asked.event.id,
            "platform": asked.event.conversation.platform,
            "installation_id": asked.event.conversation.installation_id,
            "voter_id": vote.voter_id,
            "models": " ".join(vote.models),
            "winner": vote.winner,
            "was_blind": vote.was_blind,
            "voted_at": vote.voted_at,
        }
        before = delete(votes).where(_is_on(round_), votes.c.voter_id == vote.voter_id)
        revealed = update(comparison).where(comparison.c.message_id == asked.id)
        async with self._database.writing() as connection:
            await connection.execute(before)
            await connection.execute(insert(votes).values(row))
            if reveals:
                await connection.execute(revealed.values(is_revealed=True))

    @override
    async def votes(self, round_: Round | None = None) -> Sequence[Vote]:
        wanted = select(votes).order_by(votes.c.id)
        if round_ is not None:
            wanted = wanted.where(_is_on(round_))
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).mappings().all()
        return [_vote(row) for row in rows]


def _rounds() -> Select[tuple[object, ...]]:
    columns = (message, comparison.c.is_blind, comparison.c.is_revealed)
    return select(*columns).join(comparison, comparison.c.message_id == message.c.id)


def _same_place(here: FromClause) -> list[ColumnElement[bool]]:
    return [message.c[name] == here.c[name] for name in PLACE]


def _is_on(round_: Round) -> ColumnElement[bool]:
    asked = round_.message
    return and_(votes.c.account == asked.account, votes.c.event_id == asked.event.id)


async def _read(connection: AsyncConnection, wanted: Select[tuple[object, ...]]) -> list[Round]:
    rows = (await connection.execute(wanted)).mappings().all()
    ids = [row["id"] for row in rows]
    answers = select(contender).where(contender.c.message_id.in_(ids))
    in_order = answers.order_by(contender.c.message_id, contender.c.position)
    found: dict[int, list[Contender]] = {message_id: [] for message_id in ids}
    for row in (await connection.execute(in_order)).mappings():
        found[row["message_id"]].append(_contender(row))
    return [
        Round(stored_message(row), tuple(found[row["id"]]), row["is_blind"], row["is_revealed"])
        for row in rows
    ]


def _contender(row: RowMapping) -> Contender:
    return Contender(
        row["model"], row["text"], row["is_error"], row["seconds"], row["tokens_per_s"]
    )


def _vote(row: RowMapping) -> Vote:
    return Vote(
        row["voter_id"],
        tuple(row["models"].split()),
        row["winner"],
        row["was_blind"],
        row["voted_at"],
    )
