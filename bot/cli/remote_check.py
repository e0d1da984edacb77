"""Whether the servers of a remote model answer, told to the bot's owner: each is asked for a word.

What members are told of the same faults stands in `bot.engine.remote.model`.
"""

import asyncio
import time
from collections.abc import Sequence

from bot.adapter import Finding
from bot.engine.remote.endpoints import Endpoint
from bot.engine.remote.faults import Fault, ServerFault
from bot.engine.remote.model import RemoteModel
from bot.translations import gettext as _
from config.catalogue import ModelEntry

WAIT_S = 30.0
"""How long a server may take for the word: Ollama loads a model when it is asked for the first."""


async def examine_servers(entry: ModelEntry) -> Sequence[Finding]:
    """One finding for each server of a model."""
    remote = RemoteModel(entry, time.monotonic, asyncio.sleep)
    try:
        return await asyncio.gather(*(_examine(remote, one) for one in remote.pool.endpoints))
    finally:
        await remote.close()


async def _examine(remote: RemoteModel, endpoint: Endpoint) -> Finding:
    url, name = endpoint.url, remote.entry.name
    try:
        async with asyncio.timeout(WAIT_S):
            served = await remote.served(endpoint)
            if served.others:
                return _not_served(remote, url, served.others)
            await _ask(remote, endpoint)
    except TimeoutError:
        return _finding(remote, url, Fault.SILENT)
    except ServerFault as error:
        # It does not like the question, so it is there.
        if error.fault is not Fault.REQUEST_REFUSED:
            return _finding(remote, url, error.fault)
    return Finding(_("model"), _("{name} is served at {url}.").format(name=name, url=url))


async def _ask(remote: RemoteModel, endpoint: Endpoint) -> None:
    """Ask for one token: a server's list says neither that it answers nor that it takes the key."""
    body = {
        "model": remote.name_at_server,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 1,
        "stream": True,
    }
    async with remote.server(endpoint).chat(body) as chunks:
        async for _chunk in chunks:
            return


def _not_served(remote: RemoteModel, url: str, others: Sequence[str]) -> Finding:
    text = _("{url} does not serve {remote}; it serves: {others}.")
    detail = text.format(url=url, remote=remote.name_at_server, others=", ".join(others[:5]))
    fix = _(
        "Set `remote_model` under [models.{name}] in fireside.toml to the name that it has there."
    )
    return Finding(_("model"), detail, fix.format(name=remote.entry.name))


def _finding(remote: RemoteModel, url: str, fault: Fault) -> Finding:
    detail, fix = _words(remote, fault)
    told = {"url": url, "name": remote.entry.name, "remote": remote.name_at_server}
    return Finding(_("model"), detail.format(**told), fix.format(**told))


def _words(remote: RemoteModel, fault: Fault) -> tuple[str, str]:
    """What happened, and what to do."""
    match fault:
        case Fault.UNREACHABLE:
            return (
                _("{url} cannot be reached."),
                _("Start the server there, or correct `endpoints` under [models.{name}] in "
                  "fireside.toml."),
            )  # fmt: skip
        case Fault.KEY_REFUSED if remote.entry.api_key is None:
            return (
                _("{url} asks for a key."),
                _("Name the variable that holds it: `api_key_variable` under [models.{name}] in "
                  "fireside.toml."),
            )  # fmt: skip
        case Fault.KEY_REFUSED:
            return (
                _("{url} refuses the key."),
                _("Correct the value of the variable that `api_key_variable` names under "
                  "[models.{name}] in fireside.toml."),
            )  # fmt: skip
        case Fault.NO_MODEL:
            return (
                _("{url} has no such page, or no model called {remote}."),
                _("Correct `endpoints` (most addresses end in /v1) or `remote_model` under "
                  "[models.{name}] in fireside.toml."),
            )  # fmt: skip
        case Fault.BUSY | Fault.LOADING | Fault.SILENT:
            return (
                _("{url} is busy, or still loading {remote}."),
                _("Wait, and run this again; the server's own log says what it is doing."),
            )
        case Fault.BROKEN | Fault.FAILED | Fault.REQUEST_REFUSED:
            return (
                _("{url} failed, or speaks another protocol."),
                _("Look into the server's own log, and correct `endpoints` under [models.{name}] "
                  "in fireside.toml."),
            )  # fmt: skip
