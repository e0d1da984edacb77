"""What `fireside doctor` says about Slack, over the loopback Slack."""

from collections.abc import Mapping
from typing import Any

import pytest

from adapters.slack import examine
from adapters.slack.manifest import scopes
from tests.adapters.slack.doubles import BOT_TOKEN, settings_with
from tests.slack_server.server import Fault, SlackServer, running
from tests.slack_server.workspace import CHANNEL, PRIVATE


async def lines(server: SlackServer, **given: Any) -> dict[str, tuple[str, bool]]:
    """Each subject with what is said of it, and whether all is well."""
    findings = await examine(settings_with(server.address, **given))
    return {one.subject: (one.detail, one.fix is None) for one in findings}


async def test_all_is_well() -> None:
    async with running() as server:
        server.scopes = frozenset(scopes())
        found = await lines(server, answer_all_channels=(CHANNEL,))

    assert all(is_well for _, is_well in found.values()), found
    assert found["Slack token"][0] == "it is fireside's."


async def test_a_missing_scope_is_named() -> None:
    async with running() as server:
        server.scopes = frozenset(scopes()) - {"files:read"}
        found = await lines(server)

    assert found["Slack scopes"] == ("the app lacks files:read.", False)


async def test_a_wrong_token_is_told_without_it() -> None:
    async with running() as server:
        server.tokens = frozenset({"another"})
        found = await lines(server)

    assert not found["Slack token"][1]
    assert BOT_TOKEN not in str(found)


async def test_a_wrong_app_token_is_told() -> None:
    async with running() as server:
        server.tokens = frozenset({BOT_TOKEN})
        found = await lines(server)

    assert not found["Slack Socket Mode"][1]


async def test_a_slack_that_is_away_is_told() -> None:
    async with running() as server:
        server.faults.append(Fault("auth.test", status=503))
        found = await lines(server)

    assert not found["Slack"][1]


@pytest.mark.parametrize(
    ("given", "subject", "is_well"),
    [
        ({"bot_token": None}, "Slack token", False),
        ({"app_token": None}, "Slack Socket Mode", False),
        ({"mode": "http"}, "Slack HTTP mode", True),
        ({"mode": "http", "signing_secret": None}, "Slack HTTP mode", False),
        ({"answer_all_channels": (PRIVATE,)}, f"Slack channel {PRIVATE}", False),
        ({"answer_all_channels": ("C0UNKNOWN",)}, "Slack channel C0UNKNOWN", False),
    ],
)
async def test_what_is_missing_is_told(
    given: Mapping[str, Any], subject: str, is_well: bool
) -> None:
    async with running() as server:
        found = await lines(server, **given)

    assert found[subject][1] is is_well
