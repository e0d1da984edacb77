"""What was said while the process was down or cut off, found again when it is back.

Timestamps grow with time in every channel, so one mark is enough: the latest that was seen. Slack
tells of a channel's threads only by their first messages, so threads that the bot takes part in are
remembered. What was seen before is known to the store and is not answered twice.
"""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from adapters.slack.parse import Json, Own, Post, post_of
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.adapter import AdapterState
from bot.errors import PlatformError, StoreUnavailable

MARK_KEY = "seen"
PLACES_KEY = "places"
MAX_PLACES = 100
"""Channels and threads that something was said in, the latest last."""
KEEP_EVERY_S = 15.0
OVERLAP = timedelta(seconds=60)
"""Events are not in order: this much before the mark is read again."""

MAX_MESSAGES = 100
"""Read in one place."""
PAGE = 200

Place = tuple[str, str | None]
"""A channel, and a thread in it."""

log = logging.getLogger(__name__)


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
        self._kept = 0.0
        self._latest = 0.0
        self._places: OrderedDict[Place, None] = OrderedDict()
        self._is_catching_up = asyncio.Lock()

    def saw(self, event: Json) -> None:
        """A message was dealt with."""
        self._latest = max(self._latest, float(event.get("event_ts") or event.get("ts") or 0))
        place = (str(event["channel"]), event.get("thread_ts"))
        self._places.pop(place, None)
        self._places[place] = None
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)

    async def load(self) -> None:
        """Read the mark of the process before."""
        kept = await self._state.get(MARK_KEY)
        self._kept = self._latest = float(kept) if kept else 0.0
        places = await self._state.get(PLACES_KEY)
        found: list[list[Any]] = json.loads(places) if places else []
        self._places = OrderedDict(((str(one[0]), one[1]), None) for one in found)

    async def keep(self, is_connected: Callable[[], Awaitable[bool]], own: Own) -> None:
        """Write the mark now and then until cancelled, and catch up after each gap."""
        was_connected = True
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            connected = await is_connected()
            if connected and not was_connected:
                await self.catch_up(own)
            was_connected = connected
            if connected:
                await self.save()

    async def save(self) -> None:
        """Write the mark if it has moved."""
        if self._latest == self._kept:
            return
        try:
            await self._state.put(PLACES_KEY, json.dumps(list(self._places)))
            await self._state.put(MARK_KEY, f"{self._latest:.6f}")
            self._kept = self._latest
        except StoreUnavailable as error:
            log.error("%s", error.text)

    async def catch_up(self, own: Own) -> None:
        """Deliver what came after the mark; the first start has none and reads nothing."""
        async with self._is_catching_up:
            oldest = self._oldest()
            if oldest is None:
                self._latest = max(self._latest, self._now().timestamp())
                return
            try:
                places = await self._all_places()
            except PlatformError as error:
                log.warning("missed messages are not looked for: %s", error)
                return
            for place in places[: self._settings.missed_max_channels]:
                await self._read(place, oldest, own)
            await self.save()

    def _oldest(self) -> float | None:
        if self._latest == 0 or self._settings.missed_max_age_s == 0:
            return None
        seen = self._latest - OVERLAP.total_seconds()
        return max(seen, self._now().timestamp() - self._settings.missed_max_age_s)

    async def _all_places(self) -> Sequence[Place]:
        """Where something was said lately first, then the other channels that the bot is in."""
        known: dict[Place, None] = dict.fromkeys(reversed(self._places))
        async for channel_id in self._channels():
            known.setdefault((channel_id, None), None)
        return list(known)

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
        channel_id, thread_ts = place
        try:
            messages = await self._messages(channel_id, thread_ts, oldest)
            for message in messages:
                await self._deliver(message, channel_id, oldest, own)
                if thread_ts is None and message.get("reply_count"):
                    for reply in await self._messages(channel_id, str(message["ts"]), oldest):
                        await self._deliver(reply, channel_id, oldest, own)
        except PlatformError as error:
            log.info("%s", error)
        except StoreUnavailable as error:
            log.error("%s", error.text)

    async def _messages(
        self, channel_id: str, thread_ts: str | None, oldest: float
    ) -> Sequence[Json]:
        """What was said after a time, oldest first; of more than that many the latest."""
        given: dict[str, Any] = {
            "channel": channel_id,
            "oldest": f"{oldest:.6f}",
            "limit": MAX_MESSAGES,
        }
        if thread_ts is None:
            answer = await self._api.call("conversations.history", **given)
        else:
            answer = await self._api.call("conversations.replies", ts=thread_ts, **given)
        messages = cast("Sequence[Json]", answer["messages"])
        return sorted(messages, key=lambda one: float(one["ts"]))

    async def _deliver(self, message: Json, channel_id: str, oldest: float, own: Own) -> None:
        # A thread's first message comes with its replies, however old it is.
        if float(message["ts"]) <= oldest:
            return
        event = {**message, "channel": channel_id}
        post = post_of(event, own.team_id)
        if post is not None and post.user_id != own.user_id:
            await self._arrived(post, own)
        self.saw(event)
