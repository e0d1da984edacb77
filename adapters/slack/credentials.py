"""The tokens of the Slack app: their shapes, and what to do where one is missing."""

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from config.chat_platform import required

BOT_TOKEN_KEY = "FIRESIDE_SLACK__BOT_TOKEN"  # noqa: S105 - the name of the setting
BOT_TOKEN_EXAMPLE = f"{BOT_TOKEN_KEY}=(the token that begins with xoxb-, page OAuth & Permissions)"
APP_TOKEN_KEY = "FIRESIDE_SLACK__APP_TOKEN"  # noqa: S105 - the name of the setting
APP_TOKEN_EXAMPLE = f"{APP_TOKEN_KEY}=(the token that begins with xapp-, page Basic Information)"
SIGNING_SECRET_KEY = "FIRESIDE_SLACK__SIGNING_SECRET"  # noqa: S105 - the name of the setting
SIGNING_SECRET_EXAMPLE = f"{SIGNING_SECRET_KEY}=(the signing secret, page Basic Information)"


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


class Credentials(BaseModel):
    """The bot's token and, for Socket Mode, the app's, or for HTTP mode the signing secret."""

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

    def require_bot_token(self) -> str:
        """The bot's token. Raises `ConfigurationError` where none is set."""
        return required(self.bot_token, BOT_TOKEN_KEY, BOT_TOKEN_EXAMPLE)

    def require_app_token(self) -> str:
        """The app's token. Raises `ConfigurationError` where none is set."""
        return required(self.app_token, APP_TOKEN_KEY, APP_TOKEN_EXAMPLE)

    def require_signing_secret(self) -> str:
        """The signing secret. Raises `ConfigurationError` where none is set."""
        return required(self.signing_secret, SIGNING_SECRET_KEY, SIGNING_SECRET_EXAMPLE)

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
