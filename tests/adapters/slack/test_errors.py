"""slack_sdk's exceptions and Slack's error names, as ours."""

import inspect
from types import SimpleNamespace

import aiohttp
import pytest
import slack_sdk.errors
from slack_sdk.errors import SlackApiError, SlackClientError, SlackTokenRotationError

from adapters.slack.credentials import APP_TOKEN_KEY, BOT_TOKEN_KEY
from adapters.slack.errors import (
    EXPLAINED,
    GONE,
    IS_STREAMING,
    NO_STREAMS,
    NOT_ACCEPTED,
    NOT_STREAMING,
    NOT_THERE,
    PASSING,
    RATE_LIMITED,
    RateLimitedError,
    SlackRefusalError,
    connection_errors,
    response_refusal,
    retry_after_s,
    slack_errors,
)
from bot.errors import MessageGone, PlatformError, PlatformUnavailable, TargetExpired
from config.errors import ConfigurationError

SECRET = "what somebody wrote"


def refusal(code: str | None, status: int = 200, headers: object = None) -> SlackApiError:
    """What slack_sdk raises for an answer."""
    data = {"ok": False, "error": code, "text": SECRET} if code else None
    response = SimpleNamespace(data=data, status_code=status, headers=headers or {})
    return SlackApiError("failed", response)


def test_slack_sdk_has_no_exceptions_but_these() -> None:
    found = {
        name
        for name, kind in inspect.getmembers(slack_sdk.errors, inspect.isclass)
        if issubclass(kind, Exception)
    }
    assert found == {
        "BotUserAccessError",
        "SlackApiError",
        "SlackClientConfigurationError",
        "SlackClientError",
        "SlackClientNotConnectedError",
        "SlackObjectFormationError",
        "SlackRequestError",
        "SlackTokenRotationError",
    }


def test_these_names_of_errors_are_handled_each_in_its_way() -> None:
    assert {"ratelimited", "rate_limited"} == RATE_LIMITED
    assert {"internal_error", "fatal_error", "service_unavailable", "request_timeout"} <= PASSING
    assert {"message_not_found"} == GONE
    assert {"message_not_in_streaming_state"} == NOT_STREAMING
    assert {"streaming_state_conflict"} == IS_STREAMING
    assert {"missing_scope", "channel_type_not_supported", "unknown_method"} <= NO_STREAMS
    assert {"channel_not_found", "not_in_channel", "is_archived"} <= NOT_THERE
    assert {"invalid_auth", "token_revoked", "account_inactive"} <= NOT_ACCEPTED
    assert {"missing_scope", "msg_too_long", *NOT_THERE} <= EXPLAINED.keys()
    kinds = (PASSING, GONE, NOT_STREAMING, IS_STREAMING, NOT_ACCEPTED)
    assert sum(len(kind) for kind in kinds) == len(frozenset[str]().union(*kinds))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("ratelimited", 429), RateLimitedError),
        (refusal(None, 429), RateLimitedError),
        (refusal("internal_error"), PlatformUnavailable),
        (refusal(None, 503), PlatformUnavailable),
        (refusal("message_not_found"), MessageGone),
        (refusal("is_archived"), SlackRefusalError),
        (refusal("something_new"), SlackRefusalError),
        (SlackClientError("x"), PlatformError),
        (SlackTokenRotationError(refusal("x")), PlatformError),
        (aiohttp.ClientConnectionError("x"), PlatformUnavailable),
        (TimeoutError(), PlatformUnavailable),
        (OSError(), PlatformUnavailable),
    ],
)
def test_each_becomes_one_of_ours_and_quotes_nobody(
    error: Exception, expected: type[PlatformError]
) -> None:
    with pytest.raises(expected) as caught, slack_errors("posting"):
        raise error
    assert type(caught.value) is expected
    assert SECRET not in str(caught.value)


def test_a_refusal_says_what_to_do_where_that_is_known() -> None:
    with pytest.raises(SlackRefusalError, match="install it anew"), slack_errors("posting"):
        raise refusal("missing_scope")


@pytest.mark.parametrize("key", [BOT_TOKEN_KEY, APP_TOKEN_KEY])
def test_a_token_that_is_not_accepted_is_told_with_its_key(key: str) -> None:
    with pytest.raises(ConfigurationError, match=key), connection_errors(key):
        raise refusal("invalid_auth")


def test_a_slack_that_is_away_is_no_wrong_token() -> None:
    with pytest.raises(PlatformUnavailable), connection_errors(BOT_TOKEN_KEY):
        raise refusal(None, 502)


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "7"}, 7.0), ({"retry-after": "x"}, 1.0), ({}, 1.0)]
)
def test_how_long_slack_wants_to_be_left_alone(headers: object, seconds: float) -> None:
    assert retry_after_s(refusal("ratelimited", 429, headers)) == seconds
    assert retry_after_s(refusal("is_archived", 200, headers)) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, TargetExpired),
        (410, TargetExpired),
        (429, PlatformUnavailable),
        (500, PlatformUnavailable),
        (400, PlatformError),
    ],
)
def test_a_response_url_that_refuses(status: int, expected: type[PlatformError]) -> None:
    assert type(response_refusal(status)) is expected
    assert response_refusal(200) is None
