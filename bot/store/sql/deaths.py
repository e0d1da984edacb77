"""How an attempt at an answer ends whose process died, and what that says of its message.

A death counts against a message only if that was alone in the forward pass. Of several that were in
it together nobody knows which one it was: they are interrupted, and answered one at a time. An
answer that was finished had left the forward pass.
"""

from sqlalchemy import ColumnElement, Update, and_, case, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.ports.records import ReplyState
from bot.store.sql.schema import message, reply

_other = reply.alias()


def ended_by_death(which: ColumnElement[bool]) -> Update:
    """End attempts that nobody ended; released ones ended already."""
    had_company = exists().where(
        _other.c.claimed_by == reply.c.claimed_by,
        _other.c.id != reply.c.id,
        _other.c.text.is_(None),
        # In one statement, or in two for two accounts: those that were ended before count too.
        _other.c.state.in_([ReplyState.ANSWERING, ReplyState.INTERRUPTED]),
    )
    is_unfinished = reply.c.text.is_(None)
    dead = update(reply).where(which, reply.c.state == ReplyState.ANSWERING)
    return dead.values(
        state=case(
            (and_(is_unfinished, had_company), ReplyState.INTERRUPTED), else_=ReplyState.FAILED
        ),
        crashed=and_(is_unfinished, ~had_company),
        lease_until=None,
    )


async def crashes_of(connection: AsyncConnection, message_id: int) -> int:
    """How many processes died while they answered a message, and nothing else."""
    crashed = select(func.count()).where(reply.c.message_id == message_id, reply.c.crashed)
    return (await connection.execute(crashed)).scalar_one()


def is_suspect() -> ColumnElement[bool]:
    """Whether a process died while a row of `message` was in its forward pass."""
    died = or_(reply.c.crashed, reply.c.state == ReplyState.INTERRUPTED)
    return exists().where(reply.c.message_id == message.c.id, died)
