"""What can be configured about Slack. Importing it imports no SDK."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from adapters.slack.credentials import Credentials
from config.addresses import WebAddress
from config.chat_platform import ChatPlatformSettings
from config.settings import Words

MANAGERS = Literal["everyone", "creator", "admin"]


def _check_channels(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[CGD][A-Z0-9]{2,}", one) for one in value):
        raise ValueError("must be channel ids, such as C0123456789")
    return value


def _check_users(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[UW][A-Z0-9]{2,}", one) for one in value):
        raise ValueError("must be member ids, such as U0123456789")
    return value


def _check_managers(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[UWS][A-Z0-9]{2,}", one) for one in value):
        raise ValueError("must be ids of members or user groups, such as U0123456789, S0123456789")
    return value


UserIds = Annotated[Words, AfterValidator(_check_users)]


# Pydantic lists the fields of the last base first: the tokens lead the page of settings.
class Settings(ChatPlatformSettings, Credentials):
    """Settings of the Slack bot; the bot's token and, for Socket Mode, the app's are needed."""

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
    managers: tuple[MANAGERS, ...] = Field(
        ("creator", "admin"),
        description="Who may switch what holds for a channel: its creator, workspace admins, all.",
        examples=[["everyone"]],
    )
    manager_ids: Annotated[Words, AfterValidator(_check_managers)] = Field(
        (),
        description="Ids of members, and of user groups, who may switch it besides.",
        examples=[["U0123456789", "S0123456789"]],
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
