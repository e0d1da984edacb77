"""Failures of slack_sdk become ours.

a token that Slack does not accept      ConfigurationError at the start: the owner has to act
a `response_url` that ran out           TargetExpired
`ratelimited`, 5xx, no connection       PlatformUnavailable: the same call may go through later
a message that somebody deleted         MessageGone
everything else that Slack refuses      PlatformError, with the error's name
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from adapters.slack.credentials import (
    APP_TOKEN_EXAMPLE,
    APP_TOKEN_KEY,
    BOT_TOKEN_EXAMPLE,
    BOT_TOKEN_KEY,
)
from bot.errors import MessageGone, PlatformError, PlatformUnavailable, TargetExpired
from config.errors import ConfigurationError

RATE_LIMITED = frozenset({"ratelimited", "rate_limited"})
PASSING = RATE_LIMITED | {
    "accesslimited",
    "fatal_error",
    "internal_error",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}
"""What Slack says when the same call may go through later."""

GONE = frozenset({"message_not_found"})
"""Somebody deleted it."""

NOT_ACCEPTED = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "not_allowed_token_type",
        "not_authed",
        "token_expired",
        "token_revoked",
    }
)
"""The token is no good."""

MISSING_SCOPE = "missing_scope"
"""The app was installed with an older manifest."""

NOT_STREAMING = frozenset({"message_not_in_streaming_state"})
IS_STREAMING = frozenset({"streaming_state_conflict"})
NO_STREAMS = frozenset(
    {
        "channel_type_not_supported",
        "feature_not_enabled",
        "method_not_supported_for_channel_type",
        "missing_recipient_team_id",
        "missing_recipient_user_id",
        "missing_scope",
        "not_allowed",
        "unknown_method",
    }
)
"""Where streams are not to be had; edits are."""

NOT_THERE = frozenset({"channel_not_found", "not_in_channel", "is_archived", "restricted_action"})
"""The bot may not write in a channel, or it is not there."""

EXPLAINED: Mapping[str, str] = {
    "channel_not_found": "the bot is not in that channel; invite it there",
    "not_in_channel": "the bot is not in that channel; invite it there",
    "is_archived": "the channel is archived",
    "restricted_action": "a workspace setting keeps the bot from writing there",
    "missing_scope": "the app lacks a scope; install it anew with `fireside slack manifest`",
    "msg_too_long": "the message is longer than Slack takes",
}
"""What the owner is told beside the error's name."""

EXPIRED_STATUSES = frozenset({403, 404, 410})
"""What a `response_url` answers once it has run out."""


class RateLimitedError(PlatformUnavailable):
    """Slack did not take a call, for there were too many: it had no effect."""


class SlackRefusalError(PlatformError):
    """Slack answered with an error; `code` is its name."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


@contextmanager
def slack_errors(doing: str) -> Generator[None]:
    """Raise `PlatformError` for whatever slack_sdk raises; `doing` says what was tried.

    Slack's own words are left out: they may quote what was sent.
    """
    try:
        yield
    except SlackApiError as error:
        raise refusal_of(doing, error) from error
    except SlackClientError as error:
        raise PlatformError(f"{doing}: {_what(error)}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise PlatformUnavailable(f"{doing}: {_what(error)}") from error


@contextmanager
def connection_errors(key: str) -> Generator[None]:
    """Raise what ends the connection for good, as a line for the owner; `key` is the token's."""
    try:
        with slack_errors("connecting to Slack"):
            yield
    except SlackRefusalError as error:
        example = {BOT_TOKEN_KEY: BOT_TOKEN_EXAMPLE, APP_TOKEN_KEY: APP_TOKEN_EXAMPLE}[key]
        problem = f"Slack does not accept this token ({error.code}); copy it again from the app"
        raise ConfigurationError(key, problem, example) from error


def code_of(error: SlackApiError) -> str:
    """The error's name as Slack gives it, or the HTTP status where it gives none."""
    data = _data(error)
    name = data.get("error") if data is not None else None
    return str(name) if name else str(_status(error))


def retry_after_s(error: SlackApiError) -> float | None:
    """How long Slack wants to be left alone; None if it does not say that it is too much."""
    if _status(error) != 429 and code_of(error) not in RATE_LIMITED:
        return None
    response = cast("Any", error.response)
    headers = cast("Mapping[str, str]", getattr(response, "headers", None) or {})
    found = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    return float(found) if found.isdecimal() else 1.0


def response_refusal(status: int) -> PlatformError | None:
    """What a `response_url` answered, as an error; None if it took the message."""
    what = f"answering a command: Slack answered {status}"
    if status in EXPIRED_STATUSES:
        return TargetExpired(what)
    if status == 429 or status >= 500:
        return PlatformUnavailable(what)
    return PlatformError(what) if status >= 400 else None


def refusal_of(doing: str, error: SlackApiError) -> PlatformError:
    """What Slack answered, as an error of ours."""
    code, status = code_of(error), _status(error)
    what = f"{doing}: Slack answered {code}"
    if code in RATE_LIMITED or status == 429:
        return RateLimitedError(what)
    if code in PASSING or status >= 500:
        return PlatformUnavailable(what)
    if code in GONE:
        return MessageGone(what)
    hint = f" ({EXPLAINED[code]})" if code in EXPLAINED else ""
    return SlackRefusalError(what + hint, code)


def _data(error: SlackApiError) -> Mapping[str, Any] | None:
    response = cast("Any", error.response)
    data = getattr(response, "data", response)
    return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else None


def _status(error: SlackApiError) -> int:
    response = cast("Any", error.response)
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    return status if isinstance(status, int) else 200


def _what(error: BaseException) -> str:
    return type(error).__name__
