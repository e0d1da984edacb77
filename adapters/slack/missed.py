"""What was said while the process was down or cut off, found again when it is back.

Timestamps grow with time in every channel, so one mark is enough: the latest that was seen. Slack
tells of a channel's threads only by their first messages, so threads that the bot takes part in are
remembered. What was seen before is known to the store and is not answered twice.
"""

import asyncio
import json
import logging
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from adapters.slack.parse import Json, Own, Post, post_of
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.adapter import AdapterState
from bot.errors import PlatformError, PlatformUnavailable, StoreUnavailable, without_text
from bot.platforms.seen_mark import SeenMark

PLACES_KEY = "places"
MAX_PLACES = 100
"""Channels and threads that something was said in, the latest last."""
KEEP_EVERY_S = 2.0
OVERLAP = timedelta(seconds=60)
"""Events are not in order: this much before the mark is read again."""

MAX_MESSAGES = 1000
"""Read in one place."""
PAGE = 200

Place = tuple[str, str | None]
"""A channel, and a thread in it."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Gap:
    """What may be missing since a time, and which places have been read again.

    Those that were read `ahead` of what was said there are read once more in their turn.
    """

    since: float
    ahead: set[Place] = field(default_factory=set[Place])
    done: set[Place] = field(default_factory=set[Place])
    locks: defaultdict[Place, asyncio.Lock] = field(
        default_factory=lambda: defaultdict[Place, asyncio.Lock](asyncio.Lock)
    )


class Missed:
    """Keeps the mark, and reads what came after it."""

    def __init__(
        self,
        api: WebApi,
        state: AdapterState,
        settings: Settings,
        now: Callable[[], datetime],
        arrived: Callable[[Post, Own], Awaitable[None]],
    ) -> None:
        self._api = api
        self._state = state
        self._settings = settings
        self._now = now
        self._arrived = arrived
        self._mark = SeenMark(state, _microseconds, _timestamp)
        self._gap: _Gap | None = None
        self._places: OrderedDict[Place, None] = OrderedDict()
        self._kept_places = ""
        self._is_catching_up = asyncio.Lock()

    def saw(self, event: Json) -> None:
        """A message was dealt with."""
        self._mark.saw(_microseconds(event.get("event_ts") or event.get("ts") or 0))
        place = _place_of(event)
        self._places.pop(place, None)
        self._places[place] = None
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)

    async def load(self) -> None:
        """Read the mark of the process before; the first process has missed nothing."""
        has_missed = await self._mark.load(_microseconds(self._now().timestamp()))
        self._kept_places = await self._state.get(PLACES_KEY) or ""
        found: list[list[Any]] = json.loads(self._kept_places or "[]")
        self._places = OrderedDict(((str(one[0]), one[1]), None) for one in found)
        if has_missed:
            self.interrupted()
        else:
            self._mark.close()

    def interrupted(self) -> None:
        """Events may have been missed: the mark stays until they were looked for."""
        self._mark.open()
        self._begin_gap()

    def dropped(self, event: Json) -> None:
        """A message could not be stored: it is read again when the store is back."""
        self._mark.open(_microseconds(event["ts"]) - 1)
        self._begin_gap()

    def _begin_gap(self) -> None:
        since = self._since()
        if since is None:
            self._gap = None
        else:
            self._gap = _Gap(since if self._gap is None else min(since, self._gap.since))

    async def keep(self, is_connected: Callable[[], Awaitable[bool]], own: Own) -> None:
        """Write the mark now and then until cancelled, and catch up after each gap."""
        was_connected = True
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            connected = await is_connected()
            if connected and not was_connected:
                self.interrupted()
            was_connected = connected
            if connected and self._gap is not None:
                await self.catch_up(own)
            await self.save()

    async def save(self) -> None:
        """Write what has changed."""
        places = json.dumps(list(self._places))
        try:
            if places != self._kept_places:
                await self._state.put(PLACES_KEY, places)
                self._kept_places = places
            await self._mark.save()
        except StoreUnavailable as error:
            log.error("%s", error.text)

    async def catch_up(self, own: Own) -> None:
        """Deliver what came after the mark, as far as Slack and the store let it be done now."""
        async with self._is_catching_up:
            gap = self._gap
            if gap is None:
                self._mark.close()
                return
            try:
                for place in await self._all_places():
                    async with gap.locks[place]:
                        await self._read(place, gap.since, own)
                        gap.done.add(place)
            except (PlatformUnavailable, StoreUnavailable) as error:
                log.warning("missed messages are looked for again soon: %s", error)
                return
            except PlatformError as error:
                log.warning("missed messages are not looked for: %s", error)
            if self._gap is gap:
                self._gap = None
                self._mark.close()
            await self.save()

    async def before(self, event: Json, own: Own) -> None:
        """Deliver what was missed in a place before what is said there now.

        Raises `StoreUnavailable`.
        """
        gap, place = self._gap, _place_of(event)
        if gap is None or event.get("subtype"):
            return
        async with gap.locks[place]:
            if place in gap.done or place in gap.ahead:
                return
            try:
                for message in await self._messages(*place, gap.since):
                    if float(message["ts"]) < float(event["ts"]):
                        await self._deliver(message, place[0], gap.since, own)
            except PlatformError as error:
                log.info("what was missed comes after what is said now: %s", error)
            else:
                gap.ahead.add(place)

    def _since(self) -> float | None:
        if self._settings.missed_max_age_s == 0:
            return None
        seen = self._mark.latest / 1e6 - OVERLAP.total_seconds()
        return max(seen, self._now().timestamp() - self._settings.missed_max_age_s)

    async def _all_places(self) -> Sequence[Place]:
        """Where something was said lately first, then the other channels that the bot is in."""
        known: dict[Place, None] = dict.fromkeys(reversed(self._places))
        async for channel_id in self._channels():
            known.setdefault((channel_id, None), None)
        return list(known)[: self._settings.missed_max_channels]

    async def _channels(self) -> AsyncIterator[str]:
        cursor: str | None = None
        found = 0
        while found < self._settings.missed_max_channels:
            answer = await self._api.call(
                "users.conversations",
                types="public_channel,private_channel,mpim,im",
                exclude_archived=True,
                limit=PAGE,
                cursor=cursor,
            )
            for channel in cast("Sequence[Json]", answer["channels"]):
                found += 1
                yield str(channel["id"])
            cursor = cast("Json", answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    async def _read(self, place: Place, oldest: float, own: Own) -> None:
        """Raises `PlatformUnavailable` and `StoreUnavailable`: then it is tried again."""
        channel_id, thread_ts = place
        try:
            for message in await self._messages(channel_id, thread_ts, oldest):
                await self._deliver(message, channel_id, oldest, own)
                if thread_ts is None and message.get("reply_count"):
                    for reply in await self._messages(channel_id, str(message["ts"]), oldest):
                        await self._deliver(reply, channel_id, oldest, own)
        except PlatformUnavailable:
            raise
        except PlatformError as error:
            log.info("%s", error)

    async def _messages(
        self, channel_id: str, thread_ts: str | None, oldest: float
    ) -> Sequence[Json]:
        """What was said after a time, oldest first."""
        method = "conversations.history" if thread_ts is None else "conversations.replies"
        found: list[Json] = []
        cursor: str | None = None
        while len(found) < MAX_MESSAGES:
            answer = await self._api.call(
                method,
                channel=channel_id,
                ts=thread_ts,
                oldest=f"{oldest:.6f}",
                limit=PAGE,
                cursor=cursor,
            )
            found += cast("Sequence[Json]", answer["messages"])
            cursor = cast("Json", answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return sorted(found, key=lambda one: float(one["ts"]))

    async def _deliver(self, message: Json, channel_id: str, oldest: float, own: Own) -> None:
        # A thread's first message comes with its replies, however old it is.
        if float(message["ts"]) <= oldest:
            return
        event = {**message, "channel": channel_id}
        try:
            post = post_of(event, own.team_id)
            if post is not None and post.user_id != own.user_id:
                await self._arrived(post, own)
        except (PlatformUnavailable, StoreUnavailable):
            raise
        except Exception as error:  # one message keeps no other one from being read
            log.error("a message of %s was skipped: %s", channel_id, without_text(error))
        self.saw(event)


def _place_of(event: Json) -> Place:
    return (str(event["channel"]), event.get("thread_ts"))


def _microseconds(ts: object) -> int:
    """A timestamp of Slack as a whole number."""
    return round(float(str(ts)) * 1e6)


def _timestamp(microseconds: int) -> str:
    return f"{microseconds / 1e6:.6f}"
