"""Reading what was said, live: a channel is told from its end, a thread from its beginning."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from typing_extensions import override

from adapters.slack.own_messages import is_answer_or_foreign
from adapters.slack.parse import ANSWERED_SUBTYPES, Json, Own, place_of, post_id, time_of
from adapters.slack.people import People
from adapters.slack.web_api import WebApi
from bot.errors import MessageGone
from bot.messages import Author, ConversationRef, MessageReader, PastMessage

PAGE, MAX_PAGES = 1000, 5
BOT_SUBTYPE = "bot_message"


async def latest_messages(
    api: WebApi,
    channel_id: str,
    thread_ts: str | None,
    limit: int,
    *,
    oldest: str | None = None,
    latest: str | None = None,
) -> Sequence[Json]:
    """The messages of a thread, or of a channel itself, oldest first; of too many the latest.

    Without the one at `latest`, with the one at `oldest`. Raises `PlatformError`.
    """
    given: dict[str, Any] = {"channel": channel_id, "include_all_metadata": True}
    if thread_ts is None:
        found = await _of_channel(api, {**given, "oldest": oldest, "latest": latest}, limit)
    else:
        found = await _of_thread(api, {**given, "ts": thread_ts, "latest": latest}, limit, oldest)
    before = float(latest) if latest is not None else float("inf")
    since = float(oldest) if oldest is not None else 0.0
    return [one for one in found if since <= float(one["ts"]) < before]


async def _of_channel(api: WebApi, given: dict[str, Any], limit: int) -> Sequence[Json]:
    found: list[Json] = []
    cursor: str | None = None
    while len(found) < limit:
        page = min(limit - len(found), PAGE)
        answer = await api.call(
            "conversations.history", inclusive=True, limit=page, cursor=cursor, **given
        )
        found += cast("Sequence[Json]", answer["messages"])
        cursor = _next_page(answer)
        if not cursor:
            break
    return found[::-1]


async def _of_thread(
    api: WebApi, given: dict[str, Any], limit: int, oldest: str | None
) -> Sequence[Json]:
    found: deque[Json] = deque(maxlen=limit + 1)
    cursor: str | None = None
    for _page in range(MAX_PAGES):
        answer = await api.call(
            "conversations.replies",
            inclusive=True,
            oldest=oldest,
            limit=PAGE,
            cursor=cursor,
            **given,
        )
        found.extend(cast("Sequence[Json]", answer["messages"]))
        cursor = _next_page(answer)
        if not cursor:
            break
    # The message that asks stands at the end, unless it is left out by `latest`.
    return [one for one in found if one["ts"] != given["latest"]][-limit:]


def _next_page(answer: Json) -> str | None:
    return cast("Json", answer.get("response_metadata") or {}).get("next_cursor") or None


class ChannelHistory(MessageReader):
    """The messages of the channels that the bot is in. `own` says who it is."""

    def __init__(self, api: WebApi, people: People, own: Callable[[], Own]) -> None:
        self._api = api
        self._people = people
        self._own = own

    @override
    async def recent(
        self,
        conversation: ConversationRef,
        limit: int,
        since: datetime | None = None,
        since_id: str | None = None,
    ) -> Sequence[PastMessage]:
        """The latest messages there, oldest first; what members wrote, and bots."""
        oldest = f"{since.timestamp():.6f}" if since is not None else None
        if since_id is not None:
            oldest = place_of(since_id)[1]
            if not re.fullmatch(r"\d{1,12}\.\d{1,6}", oldest):
                raise MessageGone("that is no message of Slack")
        messages = await latest_messages(
            self._api, conversation.channel_id, conversation.thread_id, limit, oldest=oldest
        )
        known = {*ANSWERED_SUBTYPES, BOT_SUBTYPE}
        said = [one for one in messages if one.get("subtype") in known]
        own = self._own()
        return [
            await self._past(one, conversation.channel_id, own)
            for one in said
            if is_answer_or_foreign(one)
        ]

    async def _past(self, message: Json, channel_id: str, own: Own) -> PastMessage:
        ts, user_id = str(message["ts"]), str(message.get("user") or message.get("bot_id") or "")
        is_own = user_id == own.user_id or message.get("bot_id") == own.bot_id
        person = None if is_own else await self._people.person(user_id)
        name = message.get("username") or (person.name if person is not None else "someone")
        author = Author(user_id, own.name if is_own else str(name), bool(message.get("bot_id")))
        text = await self._people.readable(str(message.get("text") or ""), own)
        link = f"{own.url}archives/{channel_id}/p{ts.replace('.', '')}" if own.url else None
        return PastMessage(post_id(channel_id, ts), author, text, time_of(ts), link, is_own=is_own)
