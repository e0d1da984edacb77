"""`fireside feedback export` and `fireside votes export`: what people think of answers, as JSON
Lines: one object a line, without anything that names anybody."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from bot.cli.invocation import invocation
from bot.translations import gettext as _

if TYPE_CHECKING:
    from bot.store.ports.comparisons import Vote
    from bot.store.ports.store import Store

feedback = typer.Typer(
    no_args_is_help=True, help=_("Questions and answers that members let be kept.")
)
votes = typer.Typer(no_args_is_help=True, help=_("Votes on models side by side."))

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help=_("Write there instead of here.")),
]
Rows = Sequence[Mapping[str, Any]]


@feedback.callback()
def _of_feedback() -> None:
    """Make `export` a command of its own name, also while it is the only one."""


@votes.callback()
def _of_votes() -> None:
    """As for feedback."""


@feedback.command("export", short_help=_("Write questions, answers and their ratings."))
def export_feedback(context: typer.Context, output: Output = None) -> None:
    """Write an evaluation set: question, answer, model and rating of each."""

    async def read(store: "Store") -> Rows:
        return [asdict(one) for one in await store.ratings.kept()]

    _export(context, read, output)


@votes.command("export", short_help=_("Write every vote, a line each."))
def export_votes(context: typer.Context, output: Output = None) -> None:
    """Write every vote: the models, the one preferred (null for a tie), whether it was blind."""

    async def read(store: "Store") -> Rows:
        return [_without_voter(vote) for vote in await store.comparisons.votes()]

    _export(context, read, output)


def _without_voter(vote: "Vote") -> Mapping[str, Any]:
    return {name: value for name, value in asdict(vote).items() if name != "voter_id"}


def _export(
    context: typer.Context, read: "Callable[[Store], Awaitable[Rows]]", output: Path | None
) -> None:
    rows = asyncio.run(_read(invocation(context).loaded.settings.data_dir, read))
    with _opened(output) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=_as_text) + "\n")
    if output is not None:
        typer.echo(_("{count} lines written to {file}.").format(count=len(rows), file=output))


async def _read(data_dir: Path, read: "Callable[[Store], Awaitable[Rows]]") -> Rows:
    # Imported here: SQLAlchemy stays out of --help and of errors.
    from bot.store.sql.store import SqlStore

    async with await SqlStore.open(data_dir) as store:
        return await read(store)


@contextmanager
def _opened(output: Path | None) -> Generator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8") as file:
        yield file


def _as_text(value: object) -> str:
    assert isinstance(value, datetime), "nothing else is no JSON"
    return value.isoformat()
