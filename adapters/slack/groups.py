"""Which user groups people are in, asked for all at once and kept for a while.

Slack has them in paid workspaces; in others nobody is in any.
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

NO_GROUPS = frozenset({"paid_teams_only", "plan_upgrade_required"})
"""Slack's words for a workspace that has no user groups."""

Members = Mapping[str, tuple[str, ...]]
"""The ids of the groups of each member who is in one."""

log = logging.getLogger(__name__)


class UserGroups:
    """The ids of the user groups of members. `clock` is monotonic, in seconds."""

    def __init__(self, api: WebApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._known: Members | None = None
        self._fresh_until_s = float("-inf")
        self._asking = asyncio.Lock()

    async def of(self, user_id: str) -> tuple[str, ...] | None:
        """The groups of a member, as they were some minutes ago at most; None if not known."""
        async with self._asking:
            if self._clock() >= self._fresh_until_s:
                await self._ask_anew()
        return None if self._known is None else self._known.get(user_id, ())

    async def _ask_anew(self) -> None:
        """What was known stands where Slack does not answer; a refusal is an answer."""
        kept_s = KEPT_S
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                self._known = await self._ask()
        except SlackRefusalError as error:
            self._known = {} if error.code in NO_GROUPS else None
            self._log(error)
        except (PlatformError, TimeoutError) as error:
            self._log(error)
            kept_s = RETRY_S
        self._fresh_until_s = self._clock() + kept_s

    async def _ask(self) -> Members:
        answer = await self._api.call("usergroups.list", include_users="true")
        found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        for group in cast("Sequence[Json]", answer["usergroups"]):
            for user_id in group.get("users") or ():
                found[str(user_id)] += (str(group["id"]),)
        return dict(found)

    def _log(self, error: Exception) -> None:
        """Say which call failed, and what to do where that keeps members from being answered."""
        what = str(error) or type(error).__name__
        if self._known is not None:
            log.info("usergroups.list failed, and the groups known so far stand: %s", what)
            return
        log.warning(
            "usergroups.list failed, and whoever access by a user group concerns is not answered:"
            " %s. If it goes on, give the app the scope usergroups:read (`fireside slack"
            " manifest`) and install it anew",
            what,
        )
