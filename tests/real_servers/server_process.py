"""A model server of another project, in a process of its own on loopback."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

START_S = 300.0


@contextmanager
def running(
    command: Sequence[str | Path], environment: Mapping[str, str], port: int, log: Path
) -> Generator[None]:
    """Run a server while the block runs, from when its `/health` says that it is ready."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, f"http://127.0.0.1:{port}/health", log)
        yield
    finally:
        # Its workers are processes of its own group.
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(server: "subprocess.Popen[bytes]", health: str, log: Path) -> None:
    ends_at_s = time.monotonic() + START_S
    while time.monotonic() < ends_at_s:
        assert server.poll() is None, log.read_text(errors="replace")[-4000:]
        with suppress(URLError, ConnectionError), urllib.request.urlopen(health, timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError(f"the server did not start in {START_S:.0f} s")
