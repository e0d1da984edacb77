"""Which hosts this process has contacted: what /privacy tells comes from here.

Python raises an audit event whenever a name is looked up or a socket connects (its documentation,
"Audit events table"), whatever library does it. An audit hook cannot be taken away again.
"""

import ipaddress
import sys
from collections.abc import Sequence
from typing import cast


class Contacts:
    """Remembers hosts, in the order of their first contact; this machine itself is none."""

    def __init__(self) -> None:
        self._hosts: dict[str, None] = {}
        self._is_watching = False

    def watch(self) -> None:
        """Remember from now on."""
        if not self._is_watching:
            self._is_watching = True
            sys.addaudithook(self._saw)

    @property
    def hosts(self) -> Sequence[str]:
        """The names that were looked up, then every address that was connected to.

        Which name an address belongs to is not known: one that has no name stands among them.
        """
        return sorted(self._hosts, key=is_address)

    def _saw(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.getaddrinfo":
            self._remember(arguments[0])
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            host, *_port = cast("tuple[object, ...]", arguments[1])
            self._remember(host)

    def _remember(self, host: object) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if isinstance(name, str) and name and not _is_here(name):
            self._hosts.setdefault(name.rstrip(".").lower())


def is_address(host: str) -> bool:
    """Whether a host is told by its number."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_here(host: str) -> bool:
    """Whether it is this machine, or every interface of it."""
    if not is_address(host):
        return host.rstrip(".").lower() in ("localhost", "ip6-localhost")
    address = ipaddress.ip_address(host)
    return address.is_loopback or address.is_unspecified
