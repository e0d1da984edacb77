"""What can be configured about Slack. Importing it imports no SDK."""

import hashlib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from config.addresses import SecretAddress, WebAddress
from config.errors import ConfigurationError
from config.settings import Words

BOT_TOKEN_KEY = "FIRESIDE_SLACK__BOT_TOKEN"  # noqa: S105 - the name of the setting
BOT_TOKEN_EXAMPLE = f"{BOT_TOKEN_KEY}=(the token that begins with xoxb-, page OAuth & Permissions)"
APP_TOKEN_KEY = "FIRESIDE_SLACK__APP_TOKEN"  # noqa: S105 - the name of the setting
APP_TOKEN_EXAMPLE = f"{APP_TOKEN_KEY}=(the token that begins with xapp-, page Basic Information)"
SIGNING_SECRET_KEY = "FIRESIDE_SLACK__SIGNING_SECRET"  # noqa: S105 - the name of the setting
SIGNING_SECRET_EXAMPLE = f"{SIGNING_SECRET_KEY}=(the signing secret, page Basic Information)"

MANAGERS = Literal["everyone", "creator", "admin"]


def is_bot_token(token: str) -> bool:
    """Whether it has the shape of a bot user's token."""
    return re.fullmatch(r"(xoxe\.)?xoxb-[A-Za-z0-9-]{8,}", token) is not None


def is_app_token(token: str) -> bool:
    """Whether it has the shape of an app-level token."""
    return re.fullmatch(r"xapp-[A-Za-z0-9-]{8,}", token) is not None


def _check_bot_token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value().strip()
    if token and not is_bot_token(token):
        raise ValueError("must be the bot user's token, which begins with xoxb-")
    return SecretStr(token)


def _check_app_token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value().strip()
    if token and not is_app_token(token):
        raise ValueError("must be an app-level token, which begins with xapp-")
    return SecretStr(token)


def _check_signing_secret(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value().strip()
    if secret and not re.fullmatch(r"[0-9A-Za-z]{16,}", secret):
        raise ValueError("must be the signing secret, which is 32 letters and digits")
    return SecretStr(secret)


def _check_channels(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[CGD][A-Z0-9]{2,}", one) for one in value):
        raise ValueError("must be channel ids, such as C0123456789")
    return value


def _check_users(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[UW][A-Z0-9]{2,}", one) for one in value):
        raise ValueError("must be member ids, such as U0123456789")
    return value


UserIds = Annotated[Words, AfterValidator(_check_users)]


class Settings(BaseModel):
    """Settings of the Slack bot; the bot's token and, for Socket Mode, the app's are needed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    bot_token: Annotated[SecretStr, AfterValidator(_check_bot_token)] | None = Field(
        None,
        description="The bot user's token, from the page OAuth & Permissions of the app.",
        examples=["xoxb-1234567890-1234567890123-a-longer-part"],
    )
    app_token: Annotated[SecretStr, AfterValidator(_check_app_token)] | None = Field(
        None,
        description="The app-level token with `connections:write`, for Socket Mode.",
        examples=["xapp-1-A0123456789-1234567890123-a-longer-part"],
    )
    signing_secret: Annotated[SecretStr, AfterValidator(_check_signing_secret)] | None = Field(
        None,
        description="The app's signing secret, for HTTP mode.",
        examples=["0123456789abcdef0123456789abcdef"],
    )
    mode: Literal["socket", "http"] = Field(
        "socket",
        description="Connect to Slack (Socket Mode), or be called by it over HTTP.",
        examples=["http"],
    )
    connections: int = Field(
        1,
        ge=1,
        le=10,
        description="Connections of Socket Mode; with two, one carries on while one is renewed.",
        examples=[2],
    )
    http_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Where HTTP mode listens; a proxy with TLS stands before it.",
        examples=["0.0.0.0"],  # noqa: S104 - an example of what can be chosen
    )
    http_port: int = Field(
        3000, ge=0, le=65_535, description="The port that HTTP mode listens on.", examples=[8080]
    )
    public_url: WebAddress | None = Field(
        None,
        description="Where Slack reaches HTTP mode from outside, for the manifest.",
        examples=["https://bot.example.org"],
    )
    command_prefix: str = Field(
        "",
        pattern=r"^[a-z0-9_-]{0,16}$",
        description="Stands before every slash command's name, where one clashes with another app.",
        examples=["fs-"],
    )
    reply_in_thread: bool = Field(
        True,
        description="Answer a mention in a thread under it, not in the channel.",
        examples=[False],
    )
    answer_all_channels: Annotated[Words, AfterValidator(_check_channels)] = Field(
        (),
        description="Ids of channels in which every message is answered, not only mentions.",
        examples=[["C0123456789"]],
    )
    streaming: Literal["native", "edits"] = Field(
        "native",
        description="How answers grow: Slack's streams where they are allowed, or edits.",
        examples=["edits"],
    )
    text_format: Literal["markdown", "mrkdwn"] = Field(
        "markdown",
        description="Send answers as Markdown blocks, or converted to mrkdwn for older clients.",
        examples=["mrkdwn"],
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
    delete_withdrawn: bool = Field(
        False,
        description="Delete the answer too when its question is deleted.",
        examples=[True],
    )
    managers: tuple[MANAGERS, ...] = Field(
        ("creator", "admin"),
        description="Who may switch what holds for a channel: its creator, workspace admins, all.",
        examples=[["everyone"]],
    )
    manager_ids: UserIds = Field(
        (),
        description="Ids of members who may switch it besides.",
        examples=[["U0123456789"]],
    )
    guests: Literal["refuse", "answer"] = Field(
        "refuse",
        description="Whether guests and people of other workspaces (Slack Connect) are answered.",
        examples=["answer"],
    )
    guest_ids: UserIds = Field(
        (),
        description="Ids of guests and people of other workspaces who are answered all the same.",
        examples=[["U0123456789"]],
    )
    suggested_prompts: tuple[str, ...] = Field(
        ("What can you do?", "Explain something to me in plain words", "Help me write a message"),
        max_length=4,
        description="What the assistant panel offers to ask, four at most.",
        examples=[["Summarize this text:"]],
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
    tier_2_per_minute: int = Field(
        20, ge=1, description="Slack's rate limit of tier 2: starting streams.", examples=[10]
    )
    tier_3_per_minute: int = Field(
        50, ge=1, description="Slack's rate limit of tier 3: edits and reading.", examples=[25]
    )
    tier_4_per_minute: int = Field(
        100, ge=1, description="Slack's rate limit of tier 4: streams and lookups.", examples=[50]
    )
    posts_per_minute: int = Field(
        60, ge=1, description="Messages posted in one channel, in a minute.", examples=[30]
    )
    missed_max_age_s: float = Field(
        900,
        ge=0,
        le=604_800,
        description="Mentions missed while the bot was down are answered up to this age; 0: none.",
        examples=[300],
    )
    missed_max_channels: int = Field(
        20,
        ge=0,
        description="How many channels and threads are searched for missed mentions.",
        examples=[100],
    )
    api_url: WebAddress = Field(
        "https://slack.com/api",
        description="The Web API.",
        examples=["http://127.0.0.1:8080/api"],
    )
    files_url: WebAddress = Field(
        "https://files.slack.com",
        description="Where attached files are read from, and from nowhere else.",
        examples=["http://127.0.0.1:8080"],
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

    def require_bot_token(self) -> str:
        """The bot's token. Raises `ConfigurationError` where none is set."""
        return _required(self.bot_token, BOT_TOKEN_KEY, BOT_TOKEN_EXAMPLE)

    def require_app_token(self) -> str:
        """The app's token. Raises `ConfigurationError` where none is set."""
        return _required(self.app_token, APP_TOKEN_KEY, APP_TOKEN_EXAMPLE)

    def require_signing_secret(self) -> str:
        """The signing secret. Raises `ConfigurationError` where none is set."""
        return _required(self.signing_secret, SIGNING_SECRET_KEY, SIGNING_SECRET_EXAMPLE)

    @property
    def bot_id(self) -> str:
        """What names the bot without asking anybody, and stays when its token is renewed.

        A token begins with the numbers of its workspace and its bot user; of one without numbers
        a digest is taken. Raises `ConfigurationError` without a token.
        """
        token = self.require_bot_token()
        numbers = re.match(r"(?:xoxe\.)?xoxb-(\d+)-(\d+)-", token)
        if numbers:
            return f"{numbers[1]}-{numbers[2]}"
        return hashlib.sha256(token.encode()).hexdigest()[:16]


def _required(secret: SecretStr | None, key: str, example: str) -> str:
    if secret is None or not secret.get_secret_value():
        raise ConfigurationError(key, "is not set", example)
    return secret.get_secret_value()
