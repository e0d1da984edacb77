"""What can be configured about Discord. Importing it imports no SDK."""

import base64
import binascii
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from config.addresses import SecretAddress, WebAddress
from config.errors import ConfigurationError
from config.settings import Words

TOKEN_KEY = "FIRESIDE_DISCORD__TOKEN"  # noqa: S105 - the name of the setting
TOKEN_EXAMPLE = f"{TOKEN_KEY}=(the token that the page Bot of the developer portal shows)"

ManagerPermission = Literal["manage_channels", "manage_guild", "manage_messages", "administrator"]


def _check_token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value().strip()
    if token and bot_id_in(token) is None:
        raise ValueError("does not look like a bot token; copy it again from the developer portal")
    return SecretStr(token)


def bot_id_in(token: str) -> str | None:
    """The bot's id, which is the token's first part in base64; None where it is no token."""
    first, dot, rest = token.partition(".")
    if not dot or "." not in rest or not re.fullmatch(r"[A-Za-z0-9_-]+", first):
        return None
    try:
        decoded = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded if decoded.isdecimal() else None


def _check_ids(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(one.isdecimal() for one in value):
        raise ValueError("must be channel ids, which are numbers")
    return value


def _check_gateway(value: str) -> str:
    if not re.fullmatch(r"wss?://[^\s/]+(/\S*)?", value):
        raise ValueError("must be an address that begins with wss:// or ws://")
    return value


class Settings(BaseModel):
    """Settings of the Discord bot; only the token is needed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    token: Annotated[SecretStr, AfterValidator(_check_token)] | None = Field(
        None,
        description="The bot's token, from the page Bot of Discord's developer portal.",
        examples=["MTIzNDU2Nzg5MDEyMzQ1Njc4.Gabcde.a-longer-part"],
    )
    message_content: bool | None = Field(
        None,
        description="Ask for the Message Content intent. By default where the application has it.",
        examples=[False],
    )
    answer_all_channels: Annotated[Words, AfterValidator(_check_ids)] = Field(
        (),
        description="Ids of channels in which every message is answered, not only mentions.",
        examples=[["1122334455667788990"]],
    )
    mention_author: bool = Field(
        False, description="Whether a reply pings who asked.", examples=[True]
    )
    footer: Literal["full", "minimal", "none"] = Field(
        "minimal",
        description="The small line under an answer: the model, in full also time and speed.",
        examples=["full"],
    )
    buttons: Literal["full", "minimal", "none"] = Field(
        "full",
        description="The buttons under an answer: minimal leaves the thumbs out.",
        examples=["minimal"],
    )
    max_messages: int = Field(
        0,
        ge=0,
        description="An answer of more messages comes as a file with its beginning; 0 for never.",
        examples=[4],
    )
    delete_withdrawn: bool = Field(
        False,
        description="Delete the answer too when its question is deleted.",
        examples=[True],
    )
    manager_permission: ManagerPermission = Field(
        "manage_channels",
        description="The permission that lets a member switch what holds for a channel.",
        examples=["manage_guild"],
    )
    max_attachment_bytes: int = Field(
        100_000,
        ge=0,
        description="The largest text file that is read with a question; 0 reads none.",
        examples=[20_000],
    )
    max_quoted: int = Field(
        20,
        ge=0,
        le=100,
        description="How many messages of a thread are read when the bot is first called there.",
        examples=[50],
    )
    edits_per_window: int = Field(
        5,
        ge=1,
        description="Posts and edits in a channel within `edit_window_s`, until Discord says more.",
        examples=[4],
    )
    edit_window_s: float = Field(
        5, gt=0, le=3600, description="The window of `edits_per_window`, in seconds.", examples=[6]
    )
    missed_max_age_s: float = Field(
        900,
        ge=0,
        le=604_800,
        description="Mentions missed while the bot was down are answered up to this age; 0: none.",
        examples=[300],
    )
    missed_max_channels: int = Field(
        50,
        ge=0,
        description="How many channels are searched for missed mentions, the latest first.",
        examples=[200],
    )
    api_url: WebAddress = Field(
        "https://discord.com/api/v10",
        description="The REST interface.",
        examples=["http://127.0.0.1:8080/api/v10"],
    )
    cdn_url: WebAddress = Field(
        "https://cdn.discordapp.com",
        description="Where attachments are read from, beside Discord's own media host.",
        examples=["http://127.0.0.1:8080/cdn"],
    )
    gateway_url: Annotated[str, AfterValidator(_check_gateway)] | None = Field(
        None,
        description="The gateway. By default the one that the REST interface names.",
        examples=["ws://127.0.0.1:8080/gateway"],
    )
    proxy: SecretAddress | None = Field(
        None,
        description="An HTTP proxy for every connection, with its user and password if it has one.",
        examples=["http://user:password@proxy:3128"],
    )

    @property
    def proxy_url(self) -> str | None:
        """The proxy's address as libraries take it."""
        return self.proxy.get_secret_value() if self.proxy else None

    def require_token(self) -> str:
        """The token. Raises `ConfigurationError` where none is set."""
        if self.token is None or not self.token.get_secret_value():
            raise ConfigurationError(TOKEN_KEY, "is not set", TOKEN_EXAMPLE)
        return self.token.get_secret_value()

    @property
    def bot_id(self) -> str:
        """The bot's own id, without asking anybody. Raises `ConfigurationError` without a token."""
        bot_id = bot_id_in(self.require_token())
        assert bot_id is not None, "the token was checked when it was read"
        return bot_id
