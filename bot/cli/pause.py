"""`fireside pause` and `fireside resume`: the memory of the models, while the bot runs on."""

import asyncio
from pathlib import Path

import typer

from bot.cli.invocation import invocation
from bot.translations import gettext as _


def pause(context: typer.Context) -> None:
    """Free the memory of the models; whoever asks the running bot is told."""
    folder = invocation(context).loaded.settings.data_dir
    if asyncio.run(_mark(folder, is_paused=True)):
        text = _("Paused: a running bot frees its memory within seconds. Go on: fireside resume")
    else:
        text = _("It is paused already. Go on: fireside resume")
    typer.echo(text)


def resume(context: typer.Context) -> None:
    """Let the running bot answer again."""
    folder = invocation(context).loaded.settings.data_dir
    is_news = asyncio.run(_mark(folder, is_paused=False))
    typer.echo(_("A running bot answers again.") if is_news else _("It was not paused."))


async def _mark(folder: Path, *, is_paused: bool) -> bool:
    # Imported here: SQLAlchemy stays out of --help.
    from bot.models.pause import STATE, mark
    from bot.store.sql.store import SqlStore

    async with await SqlStore.open(folder) as store:
        return await mark(store.adapter_state(STATE), is_paused=is_paused)
