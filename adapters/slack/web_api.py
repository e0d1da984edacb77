"""Calls of Slack's Web API: paced by method and workspace, with errors of ours.

slack_sdk's own retries are switched off: one that repeats a post whose answer was lost posts twice.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from adapters.slack.errors import (
    MISSING_SCOPE,
    code_of,
    refusal_of,
    response_refusal,
    retry_after_s,
    slack_errors,
)
from adapters.slack.methods import METHODS, Rate
from adapters.slack.settings import Settings
from bot.errors import PlatformError, PlatformUnavailable
from bot.platforms.write_budget import Pace

REQUEST_TIMEOUT_S = 30.0
WINDOWS_S: Mapping[Rate, float] = {
    Rate.TIER_2: 60.0,
    Rate.TIER_3: 12.0,
    Rate.TIER_4: 6.0,
    Rate.POST: 6.0,
}
"""A minute's budget is spread where answers grow: a burst of it would be followed by silence."""
MAX_TRIES = 5
"""Of one call that is told to come back later."""

Json = Mapping[str, Any]

log = logging.getLogger(__name__)

SDK_LOGGERS = ("slack_sdk", "slack_bolt")
"""Their lines below WARNING quote requests, which hold what people write."""


def sdk_logger() -> logging.Logger:
    """The logger that the libraries get: silent where they would quote people."""
    for name in SDK_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return logging.getLogger("slack_sdk")


class WebApi:
    """The methods of the Web API for one bot token."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._proxy = settings.proxy_url
        self.client = AsyncWebClient(
            token=settings.require_bot_token(),
            base_url=f"{settings.api_url}/",
            proxy=self._proxy,
            retry_handlers=[],
            logger=sdk_logger(),
        )
        self._without_scope: set[str] = set()
        self._paces = {name: _pace(settings, name, clock, sleep) for name in METHODS}

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """One session for every call in the block."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as self.client.session:
            yield

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session of the calls, for what is fetched beside them."""
        assert self.client.session is not None, "calls are made while connected"
        return self.client.session

    async def call(self, method: str, **arguments: object) -> Json:
        """Call a method when its turn has come.

        Raises `PlatformError`. A `Retry-After` is waited out here, a few times.
        """
        is_post = METHODS[method].rate is Rate.POST
        place = str(arguments["channel"]) if is_post else ""
        for _ in range(MAX_TRIES - 1):
            async with self._paces[method].turn(place):
                try:
                    return await self._send(method, arguments)
                except SlackApiError as error:
                    wait_s = retry_after_s(error)
                    if wait_s is None:
                        raise self._refused(method, error) from error
                    self._paces[method].close(place, wait_s)
        raise PlatformUnavailable(f"{method}: Slack asks for patience")

    @contextmanager
    def passing(self, method: str, reply: str) -> Generator[bool]:
        """Whether a passing text may be shown in the block with `call_now`; else it is left out."""
        with self._paces[method].passing("", reply) as may_show:
            yield may_show

    def end(self, method: str, reply: str) -> None:
        """A reply has its final text."""
        self._paces[method].end("", reply)

    async def call_now(self, method: str, **arguments: object) -> Json:
        """Call a method without waiting for its turn, which `passing` gave."""
        try:
            return await self._send(method, arguments)
        except SlackApiError as error:
            if (wait_s := retry_after_s(error)) is not None:
                self._paces[method].close("", wait_s)
            with slack_errors(method):
                raise

    def _refused(self, method: str, error: SlackApiError) -> PlatformError:
        """The refusal as an error of ours; a missing scope is told to the owner, once a method."""
        ours = refusal_of(method, error)
        if code_of(error) == MISSING_SCOPE and method not in self._without_scope:
            self._without_scope.add(method)
            log.warning("%s", ours)
        return ours

    async def respond(self, response_url: str, body: Json) -> None:
        """Post to the `response_url` of a command or an action. Raises `PlatformError`."""
        with slack_errors("answering a command"):
            request = self.session.post(response_url, json=body, proxy=self._proxy)
            async with request as response:
                refusal = response_refusal(response.status)
        if refusal is not None:
            raise refusal

    async def upload(self, upload_url: str, data: bytes) -> None:
        """Send the bytes of a file to where Slack wants them. Raises `PlatformError`."""
        with slack_errors("uploading a file"):
            request = self.session.post(upload_url, data=data, proxy=self._proxy)
            async with request as response:
                refusal = response_refusal(response.status)
        if refusal is not None:
            raise refusal

    async def _send(self, method: str, arguments: Mapping[str, object]) -> Json:
        given = {name: value for name, value in arguments.items() if value is not None}
        client = cast("Any", self.client)
        with _network_errors(method):
            if METHODS[method].is_read:
                response = await client.api_call(method, http_verb="GET", params=given)
            else:
                response = await client.api_call(method, json=given)
        return cast("Json", response.data)


@contextmanager
def _network_errors(method: str) -> Generator[None]:
    """All but Slack's own refusals, which the caller looks at first."""
    try:
        yield
    except SlackApiError:
        raise
    except Exception:
        with slack_errors(method):
            raise


def _pace(
    settings: Settings,
    method: str,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> Pace:
    rate = METHODS[method].rate
    per_minute = {
        Rate.TIER_2: settings.tier_2_per_minute,
        Rate.TIER_3: settings.tier_3_per_minute,
        Rate.TIER_4: settings.tier_4_per_minute,
        Rate.POST: settings.posts_per_minute,
    }[rate]
    limit = max(1, int(per_minute * WINDOWS_S[rate] / 60))
    return Pace(limit, 60 * limit / per_minute, clock, sleep)
