"""Which hosts were contacted."""

import asyncio
import socket
import subprocess
import sys

from bot.policy.contacted_hosts import Contacts

LOOK_UP = """
import socket
from bot.policy.contacted_hosts import Contacts
contacts = Contacts()
contacts.watch()
contacts.watch()
for host in ("localhost", "127.0.0.1", "hub.invalid", b"HUB.invalid.", "other.invalid"):
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        pass
print(*contacts.hosts)
"""


def test_every_name_that_is_looked_up_is_remembered_once_and_this_machine_is_none() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK_UP], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["hub.invalid", "other.invalid"]


def test_addresses_are_told_after_the_names() -> None:
    contacts = Contacts()
    contacts._saw("socket.connect", (None, ("192.0.2.1", 443)))  # pyright: ignore[reportPrivateUsage]
    contacts._saw("socket.connect", (None, ("::1", 443, 0, 0)))  # pyright: ignore[reportPrivateUsage]
    contacts._saw("socket.connect", (None, "/run/socket"))  # pyright: ignore[reportPrivateUsage]
    assert contacts.hosts == ["192.0.2.1"]
    contacts._saw("socket.getaddrinfo", ("chat.example.org", 443))  # pyright: ignore[reportPrivateUsage]
    assert contacts.hosts == ["chat.example.org", "192.0.2.1"]


async def test_a_connection_within_this_machine_contacts_nobody() -> None:
    contacts = Contacts()
    contacts.watch()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    listening: socket.socket = server.sockets[0]
    port = listening.getsockname()[1]
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    server.close()
    await server.wait_closed()
    assert contacts.hosts == []
