"""How fast the models answered on this machine, from the bot's own records."""

from collections.abc import Mapping

from bot.cli.invocation import Invocation
from bot.errors import StoreUnavailable


async def speeds(run: Invocation) -> Mapping[str, float]:
    """Tokens a second of each model's latest answers on this machine, where there were any."""
    # Imported here: --help does without SQLAlchemy.
    from bot.store.sql.database import FILE_NAME
    from bot.store.sql.store import SqlStore

    folder = run.loaded.settings.data_dir
    if not (folder / FILE_NAME).is_file():
        return {}
    try:
        async with await SqlStore.open(folder) as store:
            return await store.exchanges.speeds()
    except StoreUnavailable:
        return {}
