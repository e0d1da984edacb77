"""Which user groups people are in, asked for all at once and kept for a while.

Slack has them in paid workspaces. Where they cannot be told nobody is in any.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from adapters.slack.errors import SlackRefusalError
from adapters.slack.parse import Json
from adapters.slack.web_api import WebApi
from bot.errors import PlatformError

KEPT_S = 600.0
RETRY_S = 30.0
LOOKUP_TIMEOUT_S = 1.0
"""An event has to be acknowledged within 3 seconds."""

Members = Mapping[str, tuple[str, ...]]
"""The ids of the groups of each member who is in one."""

log = logging.getLogger(__name__)


class UserGroups:
    """The ids of the user groups of members. `clock` is monotonic, in seconds."""

    def __init__(self, api: WebApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._known: Members = {}
        self._fresh_until_s = float("-inf")
        self._asking = asyncio.Lock()

    async def of(self, user_id: str) -> tuple[str, ...]:
        """The groups of a member, as they were some minutes ago at most."""
        async with self._asking:
            if self._clock() >= self._fresh_until_s:
                await self._ask_anew()
        return self._known.get(user_id, ())

    async def _ask_anew(self) -> None:
        """What was known stands where Slack does not answer; a refusal is an answer."""
        kept_s = KEPT_S
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                self._known = await self._ask()
        except SlackRefusalError as error:
            log.info("no user groups here: %s", error)
            self._known = {}
        except (PlatformError, TimeoutError) as error:
            log.info("the user groups could not be looked up: %s", error or type(error).__name__)
            kept_s = RETRY_S
        self._fresh_until_s = self._clock() + kept_s

    async def _ask(self) -> Members:
        answer = await self._api.call("usergroups.list", include_users="true")
        found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        for group in cast("Sequence[Json]", answer["usergroups"]):
            for user_id in group.get("users") or ():
                found[str(user_id)] += (str(group["id"]),)
        return dict(found)
