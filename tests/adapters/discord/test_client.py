"""What the client learns from the headers of Discord's answers."""

from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import yarl
from multidict import CIMultiDict

from adapters.discord.client import learn
from bot.platforms.write_budget import Pace


def answered(method: str, path: str, **headers: str) -> aiohttp.TraceRequestEndParams:
    """What aiohttp tells of an answer."""
    url = yarl.URL(f"https://discord.test/api/v10{path}")
    limits = {f"X-RateLimit-{key}": value for key, value in headers.items()}
    answer: Any = SimpleNamespace(headers=limits)
    return aiohttp.TraceRequestEndParams(method, url, CIMultiDict[str](), answer)


EMPTY = {"Limit": "2", "Remaining": "0", "Reset-After": "9"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "is_learned"),
    [
        ("POST", "/channels/1/messages", EMPTY, True),
        ("PATCH", "/channels/1/messages/7", EMPTY, True),
        ("GET", "/channels/1/messages", EMPTY, False),
        ("POST", "/users/1", EMPTY, False),
        ("POST", "/channels/1/messages", {"Limit": "2", "Remaining": "0"}, False),
        ("POST", "/channels/1/messages", EMPTY | {"Limit": "x"}, False),
    ],
)
def test_the_pace_learns_from_the_headers_of_a_channel_s_messages_alone(
    method: str, path: str, headers: dict[str, str], *, is_learned: bool
) -> None:
    pace = Pace(5, 5.0, lambda: 100.0)
    learn(pace, answered(method, path, **headers))

    with pace.passing(1, "reply") as may_show:
        assert may_show is not is_learned
