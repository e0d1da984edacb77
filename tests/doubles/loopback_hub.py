"""A model hub on loopback, thin: enough of the Hugging Face hub for real huggingface_hub.

Repositories at one commit, large files behind a redirect to another host name, byte ranges,
tokens, and faults on demand. A request for a route that it does not know fails the test.
"""

import hashlib
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

COMMIT = "a" * 40


@dataclass
class Repository:
    """Files at a commit. `large` ones are served as LFS files are."""

    files: dict[str, bytes]
    commit: str = COMMIT
    large: frozenset[str] = frozenset({"model.safetensors", "pytorch_model.bin"})
    token: str | None = None
    is_gated: bool = False
    has_sizes: bool = True

    def sibling(self, name: str) -> dict[str, object]:
        """A file's metadata as the hub's interface gives it."""
        content = self.files[name]
        git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        found: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": git}
        if name in self.large:
            sha256 = hashlib.sha256(content).hexdigest()
            found["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
        elif not self.has_sizes:
            del found["size"]
        return found


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    path: str
    range: str | None
    authorization: str | None


@dataclass
class Faults:
    """What goes wrong: each is for one file name, and holds until it is taken away.

    `cut` closes the connection after so many bytes, the next transfer at the next number.
    """

    cut: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    status: dict[str, int] = field(default_factory=dict[str, int])
    damaged: set[str] = field(default_factory=set[str])
    overlong: set[str] = field(default_factory=set[str])
    ignores_ranges: bool = False


class LoopbackHub:
    """The hub's state and its address."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.unknown: list[str] = []
        self.endpoint = ""
        self.port = 0

    def downloads(self, name: str) -> list[Seen]:
        """The transfers of a file's content."""
        return [seen for seen in self.seen if seen.path.endswith(f"/content/{name}")]

    def application(self) -> web.Application:
        """The server's routes."""
        application = web.Application(middlewares=[self._record])
        application.router.add_get("/api/models/{org}/{name}/revision/{revision}", self._info)
        application.router.add_get("/{org}/{name}/resolve/{commit}/{file}", self._resolve)
        application.router.add_get("/{org}/{name}/content/{file}", self._content)
        return application

    @web.middleware
    async def _record(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        headers = request.headers
        self.seen.append(Seen(request.path, headers.get("Range"), headers.get("Authorization")))
        if request.match_info.http_exception is not None:
            self.unknown.append(f"{request.method} {request.path}")
        return await handler(request)

    async def _info(self, request: web.Request) -> web.StreamResponse:
        repository = self._find(request)
        if isinstance(repository, web.Response):
            return repository
        if request.match_info["revision"] not in ("main", repository.commit):
            return _refusal(404, "RevisionNotFound")
        siblings = [repository.sibling(name) for name in repository.files]
        return web.json_response(
            {"id": _name(request), "sha": repository.commit, "siblings": siblings}
        )

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        repository = self._find(request)
        if isinstance(repository, web.Response):
            return repository
        file = request.match_info["file"]
        if repository.is_gated:
            return _refusal(403, "GatedRepo")
        if request.match_info["commit"] != repository.commit:
            return _refusal(404, "RevisionNotFound")
        if file not in repository.files:
            return _refusal(404, "EntryNotFound")
        if file in repository.large:
            # Another host name for the same server, as the hub's storage is another host.
            there = f"{request.url.scheme}://localhost:{self.port}/{_name(request)}/content/{file}"
            raise web.HTTPFound(there)
        return await self._content(request)

    async def _content(self, request: web.Request) -> web.StreamResponse:
        file = request.match_info["file"]
        if status := self.faults.status.get(file):
            return web.Response(status=status)
        content = self.repositories[_name(request)].files[file]
        if file in self.faults.damaged:
            content = bytes(reversed(content))
        if file in self.faults.overlong:
            content += bytes(32 << 20)
        begin = self._begin(request)
        rest = content[begin:]
        headers = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        response = web.StreamResponse(
            status=206 if begin else 200, headers=headers if begin else {}
        )
        response.content_length = len(rest)
        await response.prepare(request)
        cuts = self.faults.cut.get(file)
        if cuts:
            await response.write(rest[: cuts.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(rest)
        await response.write_eof()
        return response

    def _begin(self, request: web.Request) -> int:
        asked = request.headers.get("Range")
        if asked is None or self.faults.ignores_ranges:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _find(self, request: web.Request) -> "Repository | web.Response":
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        known = {one.token for one in self.repositories.values()}
        if token and token not in known:
            message = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return web.Response(status=401, headers=message)
        repository = self.repositories.get(_name(request))
        if repository is None or (repository.token and repository.token != token):
            return _refusal(404 if token else 401, "RepoNotFound")
        return repository


def _name(request: web.Request) -> str:
    return f"{request.match_info['org']}/{request.match_info['name']}"


def _refusal(status: int, code: str) -> web.Response:
    return web.Response(status=status, headers={"X-Error-Code": code})


@asynccontextmanager
async def running_hub(tls: ssl.SSLContext | None = None) -> AsyncGenerator[LoopbackHub]:
    """A hub that serves for the length of the block."""
    hub = LoopbackHub()
    runner = web.AppRunner(hub.application(), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    hub.port = runner.addresses[0][1]
    hub.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{hub.port}"
    try:
        yield hub
    finally:
        await runner.cleanup()
    assert not hub.unknown


def safetensors(elements: int, missing_bytes: int = 0) -> bytes:
    """A file of one tensor of 32-bit numbers, perhaps cut short of what its header promises."""
    tensor = {"dtype": "F32", "shape": [elements], "data_offsets": [0, 4 * elements]}
    header = json.dumps({"weight": tensor}).encode()
    content = bytes(index % 251 for index in range(4 * elements - missing_bytes))
    return len(header).to_bytes(8, "little") + header + content


def tiny_model(elements: int = 2000) -> dict[str, bytes]:
    """A repository as they look on the hub: the model, and things that are no part of it."""
    return {
        "config.json": b'{"model_type": "llama"}\n',
        "tokenizer.json": b"{}\n",
        "tokenizer_config.json": b"{}\n",
        "LICENSE": b"Do what you like.\n",
        "README.md": b"# Tiny\n",
        "modeling_tiny.py": b"raise SystemExit('model code ran')\n",
        "training_args.bin": b"a pickle",
        "pytorch_model.bin": b"another pickle",
        "onnx/model.onnx": b"another format",
        "model.safetensors": safetensors(elements),
    }


def write_model(folder: Path) -> None:
    """The same model as a folder on disk."""
    folder.mkdir(parents=True)
    for name, content in tiny_model().items():
        if "/" not in name:
            (folder / name).write_bytes(content)
