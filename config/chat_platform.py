"""The settings that every chat platform has; each adds its own to them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.addresses import SecretAddress
from config.errors import ConfigurationError


class ChatPlatformSettings(BaseModel):
    """What can be chosen on every platform, with the same default on each."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
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
    missed_max_age_s: float = Field(
        900,
        ge=0,
        le=604_800,
        description="Mentions missed while the bot was down are answered up to this age; 0: none.",
        examples=[300],
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


def required(secret: SecretStr | None, key: str, example: str) -> str:
    """A secret that is needed. Raises `ConfigurationError` where none is set."""
    if secret is None or not secret.get_secret_value():
        raise ConfigurationError(key, "is not set", example)
    return secret.get_secret_value()
