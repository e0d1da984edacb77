"""Web addresses as settings: checked, without a slash at the end, secrets kept out of sight."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, AnyHttpUrl, SecretStr, TypeAdapter

_HTTP_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


def _parse_url(value: str) -> AnyHttpUrl:
    if value != value.strip() or not value.startswith(("http://", "https://")):
        raise ValueError("must be a web address that begins with https:// or http://")
    return _HTTP_URL.validate_python(value)


def _check_secret_url(value: SecretStr) -> SecretStr:
    return SecretStr(str(_parse_url(value.get_secret_value())).rstrip("/"))


def _check_url(value: str) -> str:
    address = _parse_url(value)
    if address.username or address.password:
        # Addresses are shown and logged; secrets have settings of their own, which are masked.
        raise ValueError("must be without user name and password; tokens are settings of their own")
    return str(address).rstrip("/")


WebAddress = Annotated[str, AfterValidator(_check_url)]
SecretAddress = Annotated[SecretStr, AfterValidator(_check_secret_url)]
"""A web address that may hold a user name and a password, and is masked for that."""


def host_of(url: str) -> str:
    """The host of an address, which may be shown and logged."""
    return urlsplit(url).hostname or url


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = host_of(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
