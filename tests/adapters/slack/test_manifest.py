"""The manifest names everything that the code uses, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest

from adapters.slack.client import SlackClient
from adapters.slack.http_server import EVENTS_PATH
from adapters.slack.manifest import EVENTS, FEATURE_SCOPES, manifest, scopes
from adapters.slack.methods import METHODS
from adapters.slack.web_api import WebApi
from bot.commands.build import described_registry
from config.errors import ConfigurationError
from tests.adapters.slack.doubles import WorkspaceServices, now, settings_with
from tests.contract.recording_services import REGISTRY
from tests.slack_server.methods import SPECS

SOURCES = Path(__file__).parents[3] / "adapters" / "slack"
CALLED = re.compile(
    r'"((?:assistant|auth|chat|conversations|files|usergroups|users|views)\.[A-Za-z.]+)"'
)


def made(**given: Any) -> dict[str, Any]:
    return manifest(settings_with(**given), REGISTRY)


def test_every_method_in_the_code_is_in_the_table_and_the_other_way_round() -> None:
    called = {
        name
        for file in SOURCES.glob("*.py")
        if file.name != "methods.py"
        for name in CALLED.findall(file.read_text())
        if not name.startswith(("conversations:", "users:"))
    }
    assert called == METHODS.keys()


def test_every_event_that_is_listened_to_is_subscribed_and_no_other() -> None:
    settings = settings_with()
    client = SlackClient(settings, WorkspaceServices(), WebApi(settings), now)
    subscribed = {name.partition(".")[0] for name in EVENTS}

    assert client.events.keys() == subscribed
    assert {name for name in EVENTS if name.startswith("message.")} == {
        f"message.{kind}" for kind in ("channels", "groups", "im", "mpim")
    }


def test_its_scopes_are_those_of_the_methods_events_and_features() -> None:
    by_table = {scope for method in METHODS.values() for scope in method.scopes}
    by_event = {scope for needed in EVENTS.values() for scope in needed}

    assert set(scopes()) == by_table | by_event | set(FEATURE_SCOPES)
    assert scopes() == sorted(set(scopes()))


def test_the_table_agrees_with_what_slack_asks_of_each_method() -> None:
    for name, method in METHODS.items():
        needed = SPECS[name].scopes
        assert not needed or needed in method.scopes, name


def test_every_slash_command_is_named_with_its_prefix() -> None:
    names = {one["command"] for one in made(command_prefix="fs-")["features"]["slash_commands"]}

    assert names == {f"/fs-{command.name.split()[0]}" for command in REGISTRY}


def test_slack_writes_mentions_in_commands_with_their_ids() -> None:
    assert all(one["should_escape"] for one in made()["features"]["slash_commands"])


def test_the_real_commands_fit_slacks_limits() -> None:
    commands = manifest(settings_with(), described_registry())["features"]["slash_commands"]

    assert all(re.fullmatch(r"/[a-z0-9_-]{1,31}", one["command"]) for one in commands)
    assert all(0 < len(one["description"]) <= 2000 for one in commands)
    assert all(len(one["usage_hint"]) <= 1000 for one in commands)
    assert len(commands) <= 50


def test_socket_mode_names_no_address_and_http_mode_names_it_everywhere() -> None:
    socket, http = made(), made(mode="http", public_url="https://bot.example.org")
    url = f"https://bot.example.org{EVENTS_PATH}"

    assert "url" not in str(socket)
    commands = http["features"]["slash_commands"]
    assert str(http).count(url) == len(commands) + len(["events", "buttons", "lists"])


def test_http_mode_takes_a_public_address() -> None:
    with pytest.raises(ConfigurationError, match="PUBLIC_URL"):
        made(mode="http")
