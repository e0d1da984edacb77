"""`fireside pause` and `fireside resume`: the memory of the models, while the bot runs on."""

import asyncio
from pathlib import Path

import typer

from bot.cli.invocation import invocation
from bot.translations import gettext as _


def pause(context: typer.Context) -> None:
    """Unload all models until `fireside resume`; people who ask see that the bot is paused."""
    folder = invocation(context).loaded.settings.data_dir
    if not asyncio.run(_mark(folder, is_paused=True)):
        text = _("Already paused. To continue: fireside resume")
    elif _is_running(folder):
        text = _("Paused: the bot frees its memory within seconds. To continue: fireside resume")
    else:
        text = _(
            "Paused, though no bot is running: one that you start answers nobody until you run "
            "fireside resume"
        )
    typer.echo(text)


def resume(context: typer.Context) -> None:
    """Let the running bot answer again."""
    folder = invocation(context).loaded.settings.data_dir
    is_news = asyncio.run(_mark(folder, is_paused=False))
    if not is_news:
        text = _("It was not paused.")
    elif _is_running(folder):
        text = _("Resumed: the bot answers again.")
    else:
        text = _("Resumed. No bot is running: start one with `fireside run` or `fireside chat`.")
    typer.echo(text)


def _is_running(folder: Path) -> bool:
    # Imported here: see `_mark`.
    from bot.platforms.account_lock import LOCKS, is_any_account_served

    return is_any_account_served(folder / LOCKS)


async def _mark(folder: Path, *, is_paused: bool) -> bool:
    # Imported here: SQLAlchemy stays out of --help.
    from bot.models.pause import STATE, mark
    from bot.store.sql.store import SqlStore

    async with await SqlStore.open(folder) as store:
        return await mark(store.adapter_state(STATE), is_paused=is_paused)
