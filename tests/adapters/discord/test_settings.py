"""Settings of the Discord bot: what is taken, and what is refused with a clear line."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from adapters.discord import create
from adapters.discord.credentials import bot_id_in
from adapters.discord.settings import Settings
from config.errors import ConfigurationError
from tests.adapters.discord.doubles import BOT_ID, TOKEN, GuildServices, settings_with


def test_every_setting_has_a_default_so_that_discord_can_be_left_alone() -> None:
    assert Settings.model_validate({}).token is None


def test_the_account_is_in_the_token_so_that_nobody_is_asked() -> None:
    assert settings_with().bot_id == str(BOT_ID)


def test_a_token_with_white_space_around_it_is_taken() -> None:
    settings = Settings.model_validate({"token": f"  {TOKEN}\n"})

    assert settings.require_token() == TOKEN


@pytest.mark.parametrize("token", ["hello", "a.b", "!!.b.c", "aGVsbG8.b.c", "é.b.c"])
def test_what_is_no_token_is_refused_without_being_shown(token: str) -> None:
    assert bot_id_in(token) is None
    with pytest.raises(ValidationError, match="does not look like a bot token") as caught:
        Settings.model_validate({"token": token})
    assert token not in str(caught.value)


def test_a_missing_token_is_told_with_its_name() -> None:
    with pytest.raises(ConfigurationError, match="FIRESIDE_DISCORD__TOKEN"):
        Settings.model_validate({}).require_token()


def test_the_token_is_not_in_what_settings_print() -> None:
    assert TOKEN not in repr(settings_with())


def test_an_empty_token_is_none() -> None:
    with pytest.raises(ConfigurationError, match="is not set"):
        Settings.model_validate({"token": ""}).require_token()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("answer_all_channels", ["general"]),
        ("gateway_url", "https://gateway"),
        ("api_url", "ftp://x"),
        ("edits_per_window", 0),
        ("footer", "huge"),
        ("nonsense", 1),
    ],
)
def test_a_wrong_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({name: value})


def test_importing_the_package_imports_no_sdk() -> None:
    code = (
        "import sys; import adapters.discord, adapters.discord.settings as one; one.Settings();"
        "sys.exit(any(name in sys.modules for name in ('discord', 'aiohttp', 'typer')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_adapter_is_built_from_settings_alone() -> None:
    assert create(settings_with(), GuildServices()).account == f"discord:{BOT_ID}"


def test_a_proxy_may_hold_a_password_and_is_masked() -> None:
    settings = settings_with(proxy="http://user:secret@proxy:3128")

    assert settings.proxy_url == "http://user:secret@proxy:3128"
    assert "secret" not in repr(settings)
