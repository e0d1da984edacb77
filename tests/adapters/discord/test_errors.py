"""Failures of discord.py become ours."""

import inspect
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import discord
import pytest
from discord import app_commands

from adapters.discord.errors import connection_errors, discord_errors
from bot.errors import MessageGone, PlatformError, PlatformUnavailable, TargetExpired
from config.errors import ConfigurationError

NOT_FOUND, FORBIDDEN, SERVER_ERROR = discord.NotFound, discord.Forbidden, discord.DiscordServerError

KNOWN = {
    "DiscordException",
    "ClientException",
    "GatewayNotFound",
    "HTTPException",
    "RateLimited",
    "Forbidden",
    "NotFound",
    "DiscordServerError",
    "InvalidData",
    "LoginFailure",
    "ConnectionClosed",
    "PrivilegedIntentsRequired",
    "InteractionResponded",
    "MissingApplicationID",
}
"""What discord.py 2.7.1 raises, apart from voice and from its own command framework."""


def http_error(
    kind: type[discord.HTTPException], status: int, code: int = 0, text: str = "words"
) -> discord.HTTPException:
    response = cast("Any", SimpleNamespace(status=status, reason="because", headers={}))
    return kind(response, {"code": code, "message": text})


def test_every_exception_of_the_library_is_known() -> None:
    names = {
        name
        for module in (discord, discord.errors)
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, discord.DiscordException)
    }
    voice = {"FFmpegProcessError", "OpusError", "OpusNotLoaded"}
    framework = set(app_commands.errors.__all__)

    assert names - voice - (framework - KNOWN) == KNOWN


def test_every_exception_of_the_library_becomes_a_platform_error() -> None:
    for name in KNOWN:
        kind = cast("type[Exception]", getattr(discord, name))
        error = kind.__new__(kind)
        error.__dict__.update(status=400, code=0, text="")
        with pytest.raises(PlatformError), discord_errors("trying"):
            raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (http_error(FORBIDDEN, 403, 50013), PlatformError),
        (http_error(NOT_FOUND, 404, 10008), MessageGone),
        (http_error(discord.HTTPException, 400, 50035), PlatformError),
        (http_error(NOT_FOUND, 404, 10015), TargetExpired),
        (http_error(NOT_FOUND, 404, 10062), TargetExpired),
        (http_error(discord.HTTPException, 401, 50027), TargetExpired),
        (http_error(SERVER_ERROR, 503), PlatformUnavailable),
        (http_error(discord.HTTPException, 429), PlatformUnavailable),
        (discord.RateLimited(90.0), PlatformUnavailable),
        (aiohttp.ClientError(), PlatformUnavailable),
        (ConnectionResetError(), PlatformUnavailable),
        (TimeoutError(), PlatformUnavailable),
    ],
)
def test_an_error_says_whether_it_passes(error: Exception, expected: type[PlatformError]) -> None:
    with pytest.raises(PlatformError) as caught, discord_errors("posting an answer"):
        raise error

    assert type(caught.value) is expected
    assert str(caught.value).startswith("posting an answer: ")


def test_the_words_of_discord_are_not_in_the_error() -> None:
    with pytest.raises(PlatformError) as caught, discord_errors("posting"):
        raise http_error(discord.HTTPException, 400, 50035, "In content: what Ann wrote")

    assert "Ann" not in str(caught.value)


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(LookupError, match="ours"), discord_errors("posting"):
        raise LookupError("ours")


def test_a_wrong_token_is_a_line_for_the_owner() -> None:
    with pytest.raises(ConfigurationError, match="does not accept this token"), connection_errors():
        raise discord.LoginFailure("Improper token has been passed.")


def test_a_token_withdrawn_while_it_runs_is_a_line_for_the_owner() -> None:
    socket = cast("Any", SimpleNamespace(close_code=4004))
    with pytest.raises(ConfigurationError, match="does not accept this token"), connection_errors():
        raise discord.ConnectionClosed(socket, shard_id=0)


def test_a_missing_intent_is_a_line_for_the_owner_that_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="MESSAGE_CONTENT=false"), connection_errors():
        raise discord.PrivilegedIntentsRequired(0)


def test_a_lost_connection_is_passing() -> None:
    with pytest.raises(PlatformUnavailable), connection_errors():
        raise discord.GatewayNotFound
