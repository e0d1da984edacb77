"""What can be configured about Discord. Importing it imports no SDK."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from adapters.discord.credentials import Credentials
from config.addresses import WebAddress
from config.chat_platform import ChatPlatformSettings
from config.settings import Words

ManagerPermission = Literal["manage_channels", "manage_guild", "manage_messages", "administrator"]


def _check_ids(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(one.isdecimal() for one in value):
        raise ValueError("must be channel ids, which are numbers")
    return value


def _check_gateway(value: str) -> str:
    if not re.fullmatch(r"wss?://[^\s/]+(/\S*)?", value):
        raise ValueError("must be an address that begins with wss:// or ws://")
    return value


# Pydantic lists the fields of the last base first: the tokens lead the page of settings.
class Settings(ChatPlatformSettings, Credentials):
    """Settings of the Discord bot; only the token is needed."""

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
    max_messages: int = Field(
        0,
        ge=0,
        description="An answer of more messages comes as a file with its beginning; 0 for never.",
        examples=[4],
    )
    manager_permission: ManagerPermission = Field(
        "manage_channels",
        description="The permission that lets a member switch what holds for a channel.",
        examples=["manage_guild"],
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
