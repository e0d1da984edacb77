"""The token of the Discord bot: its shape, and what to do where it is missing."""

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from config.chat_platform import required

TOKEN_KEY = "FIRESIDE_DISCORD__TOKEN"  # noqa: S105 - the name of the setting
TOKEN_EXAMPLE = f"{TOKEN_KEY}=(the token that the page Bot of the developer portal shows)"


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


class Credentials(BaseModel):
    """The bot's token."""

    token: Annotated[SecretStr, AfterValidator(_check_token)] | None = Field(
        None,
        description="The bot's token, from the page Bot of Discord's developer portal.",
        examples=["MTIzNDU2Nzg5MDEyMzQ1Njc4.Gabcde.a-longer-part"],
    )

    def require_token(self) -> str:
        """The token. Raises `ConfigurationError` where none is set."""
        return required(self.token, TOKEN_KEY, TOKEN_EXAMPLE)

    @property
    def bot_id(self) -> str:
        """The bot's own id, without asking anybody. Raises `ConfigurationError` without a token."""
        bot_id = bot_id_in(self.require_token())
        assert bot_id is not None, "the token was checked when it was read"
        return bot_id
