"""Slack's settings: what is refused, and what names the bot."""

from typing import Any

import pytest
from pydantic import ValidationError

from adapters.slack.settings import Settings
from tests.adapters.slack.doubles import settings_with


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bot_token", "xapp-1-A0-1-abc"),
        ("app_token", "xoxb-1-2-abc"),
        ("signing_secret", "short"),
        ("command_prefix", "With Spaces"),
        ("answer_all_channels", ["general"]),
        ("guest_ids", ["ann"]),
        ("connections", 11),
        ("http_port", 70_000),
        ("suggested_prompts", ["1", "2", "3", "4", "5"]),
        ("api_url", "slack.com"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_not_shown(key: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({key: value})
    assert "xapp-1" not in str(caught.value)
    assert "xoxb-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "bot_id"),
    [
        ("xoxb-1111-2222-abcdefgh", "1111-2222"),
        ("xoxb-1111-2222-renewed0", "1111-2222"),
        ("xoxe.xoxb-1-MS0yLabcdefgh", None),
    ],
)
def test_the_bot_is_named_by_its_token_and_stays_the_same_when_it_is_renewed(
    token: str, bot_id: str | None
) -> None:
    named = settings_with(bot_token=token).bot_id
    assert named == bot_id or (bot_id is None and len(named) == 16)
    assert "abcdefgh" not in named


def test_a_proxy_may_hold_a_password_and_is_masked() -> None:
    settings = settings_with(proxy="http://user:s3same@proxy.example:3128")
    assert settings.proxy_url == "http://user:s3same@proxy.example:3128"
    assert "s3same" not in repr(settings)
