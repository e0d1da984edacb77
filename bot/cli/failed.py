"""`fireside failed`: messages that were given up, and another try for them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from bot.cli.invocation import invocation
from bot.cli.tables import Column, print_table
from bot.errors import UsageError
from bot.translations import gettext as _

if TYPE_CHECKING:
    from bot.store.ports.recovery import GivenUp

failed = typer.Typer(no_args_is_help=True, help=_("Messages that were given up."))

ALL = "all"


@failed.command("list")
def list_failed(context: typer.Context) -> None:
    """Show which messages were given up, and why. What they say is not shown."""
    found = asyncio.run(_given_up(invocation(context).loaded.settings.data_dir))
    if not found:
        typer.echo(_("No message was given up."))
        return
    reasons = {
        "crashed": _("the process died twice on it"),
        "refused": _("the platform refused the answer"),
        "unreadable": _("it cannot be read in the database"),
    }
    columns = [
        Column(_("Id"), is_number=True),
        Column(_("Received")),
        Column(_("Bot")),
        Column(_("Channel")),
        Column(_("Author")),
        Column(_("Why"), can_fold=True),
    ]
    rows = [
        (
            str(one.id),
            f"{one.received_at:%Y-%m-%d %H:%M}",
            one.account,
            one.channel_id,
            one.author_id,
            reasons[one.reason],
        )
        for one in found
    ]
    print_table(columns, rows)


@failed.command("retry", short_help=_("Have one of them answered, or all."))
def retry_failed(
    context: typer.Context,
    which: Annotated[str, typer.Argument(metavar="ID", help=_("Its id, or `all`."))],
) -> None:
    """Have a message answered after all: a running bot begins within seconds."""
    if which != ALL and not which.isdecimal():
        raise UsageError(_("Give the id of a message from `fireside failed list`, or `all`."))
    folder = invocation(context).loaded.settings.data_dir
    reopened = asyncio.run(_retry(folder, None if which == ALL else int(which)))
    if not reopened and which != ALL:
        text = _("Message {id} was not given up; see `fireside failed list`.")
        raise UsageError(text.format(id=which))
    text = _("{number} to be answered again, by the bot that runs or the next one that starts.")
    typer.echo(text.format(number=reopened))


async def _given_up(folder: Path) -> "Sequence[GivenUp]":
    # Imported here: SQLAlchemy stays out of --help.
    from bot.store.sql.store import SqlStore

    async with await SqlStore.open(folder) as store:
        return await store.recovery.given_up()


async def _retry(folder: Path, message_id: int | None) -> int:
    # Imported here: see `_given_up`.
    from bot.clock import utc_now
    from bot.store.sql.store import SqlStore

    reopened = 0
    async with await SqlStore.open(folder) as store:
        for one in await store.recovery.given_up():
            if message_id in (None, one.id):
                action_id = f"retry-{uuid4().hex}"
                await store.inbox.reopen(one.account, one.event_id, action_id, utc_now())
                reopened += 1
    return reopened
