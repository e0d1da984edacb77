"""Failures of discord.py become ours.

401 while logging in, 4014            ConfigurationError: the owner has to change something
an interaction's token that ran out   TargetExpired
5xx, 429, no connection, a timeout    PlatformUnavailable: the same call may go through later
a message that somebody deleted       MessageGone
everything else that Discord refuses  PlatformError
"""

from collections.abc import Generator
from contextlib import contextmanager

import aiohttp
import discord

from adapters.discord.credentials import TOKEN_EXAMPLE, TOKEN_KEY
from bot.errors import MessageGone, PlatformError, PlatformUnavailable, TargetExpired
from config.errors import ConfigurationError

EXPIRED_CODES = frozenset({10015, 10062, 50027})
"""Unknown Webhook, Unknown Interaction, Invalid Webhook Token: the token's 15 minutes are over."""

PASSING = (
    discord.DiscordServerError,
    discord.RateLimited,
    discord.GatewayNotFound,
    discord.ConnectionClosed,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
)

UNKNOWN_MESSAGE = 10008
"""Somebody deleted it."""

AUTHENTICATION_FAILED = 4004
"""The gateway's close code for a token that was withdrawn."""

INTENTS_KEY = "FIRESIDE_DISCORD__MESSAGE_CONTENT"


@contextmanager
def discord_errors(doing: str) -> Generator[None]:
    """Raise `PlatformError` for whatever discord.py raises; `doing` says what was tried.

    Discord's own words are left out: they may quote what was sent.
    """
    try:
        yield
    except PASSING as error:
        raise PlatformUnavailable(f"{doing}: {_what(error)}") from error
    except discord.HTTPException as error:
        raise _refusal(doing, error) from error
    except discord.DiscordException as error:
        raise PlatformError(f"{doing}: {_what(error)}") from error


@contextmanager
def connection_errors() -> Generator[None]:
    """Raise what ends the connection for good, as a line for the owner."""
    try:
        yield
    except discord.LoginFailure as error:
        raise _wrong_token() from error
    except discord.PrivilegedIntentsRequired as error:
        problem = (
            "the application does not have the Message Content intent; switch it on on the page "
            "Bot of the developer portal, or do without it"
        )
        raise ConfigurationError(INTENTS_KEY, problem, f"{INTENTS_KEY}=false") from error
    except PASSING as error:
        if isinstance(error, discord.ConnectionClosed) and error.code == AUTHENTICATION_FAILED:
            raise _wrong_token() from error
        raise PlatformUnavailable(f"the connection to Discord ended: {_what(error)}") from error
    except discord.DiscordException as error:
        raise PlatformError(f"the connection to Discord ended: {_what(error)}") from error


def _wrong_token() -> ConfigurationError:
    problem = "Discord does not accept this token; make a new one on the page Bot"
    return ConfigurationError(TOKEN_KEY, problem, TOKEN_EXAMPLE)


def _refusal(doing: str, error: discord.HTTPException) -> PlatformError:
    what = f"{doing}: Discord answered {error.status} ({error.code})"
    if error.code in EXPIRED_CODES:
        return TargetExpired(what)
    if error.status == 429 or error.status >= 500:
        return PlatformUnavailable(what)
    if error.code == UNKNOWN_MESSAGE:
        return MessageGone(what)
    return PlatformError(what)


def _what(error: BaseException) -> str:
    return type(error).__name__
