"""How many answers and tokens members, channels and workspaces may have, and what they had.

A limit is a setting (`user_rate`, `channel_tokens`, ...). Answers are counted by the hour and
tokens by the day, both of UTC, so that it can be told when there are more. What was had is kept
for two days under a hash: forgetting a member must not renew their quota.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.engine.base import Payer
from bot.errors import QuotaSpent
from bot.settings.scoped import Effective
from bot.settings.specs import SettingName
from bot.store.ports.scopes import scope_id
from bot.store.ports.usages import Usages, Used
from bot.translations import gettext as _


class Unit(StrEnum):
    """What is limited: answers an hour, or tokens a day."""

    ANSWERS = "answers"
    TOKENS = "tokens"


class Sharer(StrEnum):
    """Who shares a limit."""

    USER = "user"
    CHANNEL = "channel"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class Limit:
    """A setting that limits something for somebody."""

    setting: SettingName
    sharer: Sharer
    unit: Unit


LIMITS = (
    Limit(SettingName.USER_RATE, Sharer.USER, Unit.ANSWERS),
    Limit(SettingName.CHANNEL_RATE, Sharer.CHANNEL, Unit.ANSWERS),
    Limit(SettingName.WORKSPACE_RATE, Sharer.WORKSPACE, Unit.ANSWERS),
    Limit(SettingName.USER_TOKENS, Sharer.USER, Unit.TOKENS),
    Limit(SettingName.CHANNEL_TOKENS, Sharer.CHANNEL, Unit.TOKENS),
    Limit(SettingName.WORKSPACE_TOKENS, Sharer.WORKSPACE, Unit.TOKENS),
)


class Quotas:
    """Admits answers and charges what they took. Owners are exempt."""

    def __init__(
        self,
        usages: Usages,
        owners: Collection[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._usages = usages
        self._owners = owners
        self._clock = clock
        self._admitting = asyncio.Lock()

    async def admit(self, payer: Payer) -> bool:
        """Count one more answer; False where nothing is limited, and so nothing to be charged.

        Raises `QuotaSpent` with the limit and when there is more.
        """
        limits = self._limits(payer)
        if not limits:
            return False
        now, keys = self._clock(), _keys(payer)
        async with self._admitting:  # else two at once would both find the last one free
            rows = await self._usages.since(_day_of(now), [*keys.values()])
            for limit, most in limits.items():
                if _used(rows, keys[limit.sharer], limit.unit, now) >= most:
                    raise QuotaSpent(_told(limit, most, now))
            await self._usages.add([*keys.values()], _hour_of(now), answers=1)
        return True

    async def charge(self, payer: Payer, tokens: int) -> None:
        """Add the tokens of an answer that was admitted."""
        await self._usages.add([*_keys(payer).values()], _hour_of(self._clock()), tokens=tokens)

    def _limits(self, payer: Payer) -> Mapping[Limit, int]:
        if f"{payer.conversation.platform}:{payer.author.id}" in self._owners:
            return {}
        most = payer.limits
        return {limit: most[limit.setting] for limit in LIMITS if limit.setting in most}


def limits_in(settings: Effective) -> Mapping[str, int]:
    """The limits that hold where these settings do, for a `Payer`."""
    numbers = {limit.setting: settings.number(limit.setting) for limit in LIMITS}
    return {name: int(number) for name, number in numbers.items() if number is not None}


def _keys(payer: Payer) -> Mapping[Sharer, str]:
    """Under what is counted."""
    here = payer.conversation
    place = (here.platform, here.installation_id)
    return {
        Sharer.USER: _hashed("user", here.platform, payer.author.id),
        Sharer.CHANNEL: _hashed("channel", *place, here.channel_id),
        Sharer.WORKSPACE: _hashed("workspace", *place),
    }


def _hashed(*parts: str) -> str:
    return hashlib.sha256(scope_id(*parts).encode("utf-8", "replace")).hexdigest()


def _used(rows: Sequence[Used], key: str, unit: Unit, now: datetime) -> int:
    mine = [row for row in rows if row.counted == key]
    if unit is Unit.TOKENS:
        return sum(row.tokens for row in mine)
    return sum(row.answers for row in mine if row.hour == _hour_of(now))


def _hour_of(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def _day_of(now: datetime) -> datetime:
    return _hour_of(now).replace(hour=0)


def _told(limit: Limit, most: int, now: datetime) -> str:
    """What is used up, and when there is more."""
    is_hourly = limit.unit is Unit.ANSWERS
    resets_at = (
        _hour_of(now) + timedelta(hours=1) if is_hourly else _day_of(now) + timedelta(days=1)
    )
    minutes = -(-int((resets_at - now).total_seconds()) // 60)
    whose = {
        Sharer.USER: _("you have"),
        Sharer.CHANNEL: _("this channel has"),
        Sharer.WORKSPACE: _("this workspace has"),
    }[limit.sharer]
    what = _("answers this hour") if is_hourly else _("tokens today")
    text = _(
        "That is all for now: {whose} used up the limit of {most:,} {what}. There is more at "
        "{time} UTC, in {minutes} minutes."
    )
    return text.format(
        whose=whose, most=most, what=what, time=f"{resets_at:%H:%M}", minutes=max(minutes, 1)
    )
