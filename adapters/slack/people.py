"""Who people are and what channels are called, as Slack says it, kept for a while."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from adapters.slack.groups import UserGroups
from adapters.slack.parse import Json, Own, Post
from adapters.slack.readable import Names, mentioned_users, readable, unnamed_channels
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.errors import PlatformError
from bot.messages import Author

KEPT_S = 600.0
MAX_KEPT = 2000
LOOKUP_TIMEOUT_S = 1.0
"""An event has to be acknowledged within 3 seconds; names are not worth more of them."""
MAX_NAMES = 20

OWNER, ADMIN, MEMBER, GUEST = "owner", "admin", "member", "guest"
WORKSPACE_ROLES = frozenset({OWNER, ADMIN, MEMBER, GUEST})
"""The roles that a workspace gives; user groups are roles too, by their ids."""

Value = TypeVar("Value")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Person:
    """A member of a workspace. A guest is restricted there.

    `roles` are "owner", "admin" and "member", as far as they are one, or "guest" alone. `team_id`
    is their own workspace; None for one of the same organization (Enterprise Grid).
    """

    name: str
    team_id: str | None = None
    is_bot: bool = False
    roles: tuple[str, ...] = ()

    @property
    def is_guest(self) -> bool:
        """Whether they see only what they were invited to."""
        return GUEST in self.roles


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, and who made it."""

    name: str | None = None
    creator_id: str | None = None


class People:
    """Members and channels, looked up when they are first asked for."""

    def __init__(
        self, api: WebApi, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._settings = settings
        self._persons = _Kept(self._ask_person, clock, _tell_of_persons)
        self._channels = _Kept(self._ask_channel, clock, _tell_of_channels)
        self._groups = UserGroups(api, clock)

    async def author(self, user_id: str, channel_id: str, *, is_direct: bool) -> Author:
        """Who wrote, their roles, and whether they manage the channel."""
        person, groups = await asyncio.gather(self.person(user_id), self._groups.of(user_id))
        of_workspace = () if person is None else person.roles
        roles = (*of_workspace, *(groups or ()))
        lacks = None if groups is not None else tuple(WORKSPACE_ROLES - set(roles))
        if person is None:
            lacks = ()
        manages = is_direct or await self._manages(user_id, roles, channel_id)
        name = person.name if person is not None else "someone"
        is_bot = person is not None and person.is_bot
        return Author(user_id, name, is_bot, can_manage=manages, roles=roles, lacks=lacks)

    async def person(self, user_id: str) -> Person | None:
        """A member; None where Slack does not say in time."""
        return await self._persons.get(user_id)

    async def is_stranger(self, post: Post, own: Own) -> bool:
        """Whether somebody is a guest, or of another workspace (Slack Connect), and not listed."""
        if self._settings.guests == "answer" or post.user_id in self._settings.guest_ids:
            return False
        person = await self.person(post.user_id)
        if person is None:
            return post.user_team_id not in {post.team_id, own.team_id}
        return person.is_guest or person.team_id not in {None, post.team_id, own.team_id}

    async def is_own_direct(self, channel_id: str) -> bool:
        """Whether it is a direct conversation with the bot, and not one between members."""
        return channel_id.startswith("D") and await self._channels.get(channel_id) is not None

    async def readable(self, text: str, own: Own) -> str:
        """A text with Slack's markup as words."""
        users = sorted(mentioned_users(text) - {own.user_id})[:MAX_NAMES]
        channels = sorted(unnamed_channels(text))[:MAX_NAMES]
        persons, places = await asyncio.gather(
            self._persons.all_of(users), self._channels.all_of(channels)
        )
        names = {user: person.name for user, person in persons.items()}
        called = {channel: place.name for channel, place in places.items() if place.name}
        return readable(text, Names({**names, own.user_id: own.name}, called))

    async def _manages(self, user_id: str, roles: Sequence[str], channel_id: str) -> bool:
        managers = self._settings.managers
        if "everyone" in managers or {user_id, *roles} & set(self._settings.manager_ids):
            return True
        if ADMIN in managers and ADMIN in roles:
            return True
        if "creator" not in managers:
            return False
        channel = await self._channels.get(channel_id)
        return channel is not None and channel.creator_id == user_id

    async def _ask_person(self, user_id: str) -> Person:
        answer = await self._api.call("users.info", user=user_id)
        user = cast("Json", answer["user"])
        return person_of(user)

    async def _ask_channel(self, channel_id: str) -> Channel:
        answer = await self._api.call("conversations.info", channel=channel_id)
        channel = cast("Json", answer["channel"])
        return Channel(channel.get("name"), channel.get("creator"))


def person_of(user: Json) -> Person:
    """A member as `users.info` tells of them."""
    profile = cast("Json", user.get("profile") or {})
    names = (profile.get("display_name"), profile.get("real_name"), user.get("name"))
    return Person(
        name=next((str(name) for name in names if name), "someone"),
        team_id=None if user.get("enterprise_user") else user.get("team_id"),
        is_bot=bool(user.get("is_bot")),
        roles=_roles_of(user),
    )


def _roles_of(user: Json) -> tuple[str, ...]:
    if any(user.get(flag) for flag in ("is_restricted", "is_ultra_restricted", "is_stranger")):
        return (GUEST,)
    if user.get("is_owner") or user.get("is_primary_owner"):
        return (OWNER, ADMIN, MEMBER)
    return (ADMIN, MEMBER) if user.get("is_admin") else (MEMBER,)


def _tell_of_persons(cause: str) -> None:
    log.warning(
        "a member could not be looked up, is called someone, and is not answered where access by"
        " a role concerns them: %s",
        cause,
    )


def _tell_of_channels(cause: str) -> None:
    log.info("a channel could not be looked up: %s", cause)


class _Kept(Generic[Value]):
    """What was looked up, for a while; what failed is not kept.

    `tell` is given each cause of a failure once, until a look-up works again.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[Value]],
        clock: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._tell = tell
        self._told: set[str] = set()
        self._values: OrderedDict[str, tuple[float, Value]] = OrderedDict()

    async def get(self, key: str) -> Value | None:
        known = self._values.get(key)
        if known is not None and known[0] > self._clock():
            return known[1]
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                value = await self._ask(key)
        except (PlatformError, TimeoutError) as error:
            self._tell_once(str(error) or type(error).__name__)
            return None
        self._told.clear()
        self._values[key] = (self._clock() + KEPT_S, value)
        self._values.move_to_end(key)
        if len(self._values) > MAX_KEPT:
            self._values.popitem(last=False)
        return value

    async def all_of(self, keys: Iterable[str]) -> dict[str, Value]:
        """Those that could be looked up."""
        wanted = list(keys)
        found: list[Any] = await asyncio.gather(*(self.get(key) for key in wanted))
        return {key: value for key, value in zip(wanted, found, strict=True) if value is not None}

    def _tell_once(self, cause: str) -> None:
        if cause not in self._told:
            self._told.add(cause)
            self._tell(cause)
