"""The daily sweep: what is past its retention goes, and what the bot was removed from."""

from datetime import datetime, timedelta

from bot.settings.scoped import ScopedSettings
from bot.settings.specs import SettingName
from bot.store.ports.recovery import Recovery


async def sweep(
    recovery: Recovery,
    settings: ScopedSettings,
    now: datetime,
    retention_days: float,
    removal_grace_days: float,
) -> int:
    """Delete messages that are older than their place keeps them; returns how many.

    `retention_days` holds where no place has set its own. What was said in an installation that
    the bot was removed from goes `removal_grace_days` later.
    """
    rules = [
        (scope, now - timedelta(days=float(days)))
        for scope, days in await settings.by_place(SettingName.RETENTION_DAYS)
    ]
    return await recovery.purge(
        now - timedelta(days=retention_days),
        rules,
        removed_before=now - timedelta(days=removal_grace_days),
    )
