"""Model servers that already run on this machine, and what they serve.

Each is known by a listing call of its own, at its usual port on loopback. Another program there, a
server that is slow and one that asks for a key are skipped without a word.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bot.engine.remote.client import ChatServer
from bot.engine.remote.discovery import DIALECTS, LM_STUDIO_MODELS, Dialect, items, table
from bot.engine.remote.faults import Fault, ServerFault

OLLAMA, LM_STUDIO, LLAMA_SERVER, VLLM = "Ollama", "LM Studio", "llama-server", "vLLM"

WAIT_S = 0.5
"""How long all calls of a server may take together."""


@dataclass(frozen=True, slots=True)
class ServedHere:
    """A chat model at a server on this machine: what the server calls it, and its size in bytes
    where that is told. `url` is the address of OpenAI's protocol there."""

    server: str
    url: str
    name: str
    size_bytes: int | None = None

    @property
    def short_name(self) -> str:
        """The name without the folders and the ending of a file."""
        return PurePath(self.name).name.removesuffix(".gguf") if self.is_file else self.name

    @property
    def is_file(self) -> bool:
        """Whether the server calls it by its file."""
        return self.name.endswith(".gguf")


Listing = Callable[[ChatServer], Awaitable[Iterable[ServedHere]]]
Place = tuple[int, Listing]
"""A port, and how what should be there is asked."""


async def _listed(port: int, call: Listing, wait_s: float) -> Sequence[ServedHere]:
    url = f"http://127.0.0.1:{port}/v1"
    server = ChatServer(url, None, connect_timeout_s=wait_s, read_timeout_s=wait_s)
    try:
        with suppress(ServerFault, TimeoutError):
            async with asyncio.timeout(wait_s):
                return [*await call(server)]
    finally:
        await server.close()
    return ()


async def _ollama(server: ChatServer) -> Iterable[ServedHere]:
    """Ollama's list, without embedding models and those that it only passes on to its cloud."""
    models = map(table, items((await server.ask("/api/tags", from_root=True)).get("models")))
    return [
        ServedHere(OLLAMA, server.url, str(one["name"]), _size(one))
        for one in models
        if "name" in one and not one.get("remote_host")
        and "bert" not in str(table(one.get("details")).get("family"))
    ]  # fmt: skip


async def _lm_studio(server: ChatServer) -> Iterable[ServedHere]:
    models = map(table, items((await server.ask(LM_STUDIO_MODELS, from_root=True)).get("data")))
    return [
        ServedHere(LM_STUDIO, server.url, str(one["id"]))
        for one in models
        if "id" in one and one.get("type") in ("llm", "vlm")
    ]


async def _by_owner(server: ChatServer) -> Iterable[ServedHere]:
    """llama-server and vLLM, which both are at home at both ports and say who they are."""
    models = [table(one) for one in items((await server.ask("/models")).get("data"))]
    owners = {str(one.get("owned_by")) for one in models}
    if owners == {"vllm"}:
        return [ServedHere(VLLM, server.url, str(one["id"])) for one in models if "id" in one]
    if {DIALECTS.get(owner) for owner in owners} != {Dialect.LLAMA_CPP}:
        return ()
    if await _asks_for_a_key(server):
        return ()
    return [
        ServedHere(LLAMA_SERVER, server.url, str(one["id"]), _size(table(one.get("meta"))))
        for one in models
        if "id" in one
    ]


async def _asks_for_a_key(server: ChatServer) -> bool:
    """Whether llama-server does: its list is open to all."""
    try:
        await server.ask("/props", from_root=True)
    except ServerFault as fault:
        return fault.fault is Fault.KEY_REFUSED
    return False


def _size(model: Mapping[str, Any]) -> int | None:
    size = model.get("size")
    return size if isinstance(size, int) and size > 0 else None


USUAL: Sequence[Place] = (
    (11434, _ollama),
    (1234, _lm_studio),
    (8080, _by_owner),
    (8000, _by_owner),
)
"""The usual ports of Ollama, LM Studio, llama-server and vLLM, and how each is asked."""


async def served_here(
    places: Sequence[Place] | None = None, wait_s: float = WAIT_S
) -> list[ServedHere]:
    """What the servers at these places, or the usual ones, serve; all are asked at the same time,
    and each is left alone after `wait_s`."""
    asked = USUAL if places is None else places
    found = await asyncio.gather(*(_listed(port, call, wait_s) for port, call in asked))
    return [model for models in found for model in models]
