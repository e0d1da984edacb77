"""Laying GGUF files out as Ollama, LM Studio and the hub's cache do."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import gguf

from tests.config.gguf_files import chatting, write_header

MODEL = "application/vnd.ollama.image.model"
TEMPLATE = "application/vnd.ollama.image.template"

Add = Callable[[gguf.GGUFWriter], None]


def gguf_bytes(folder: Path, add: Add = chatting, architecture: str = "llama") -> bytes:
    """The content of a small file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = write_header(folder / "made.gguf", add, architecture=architecture)
    content = file.read_bytes()
    file.unlink()
    return content


def put_in_ollama(
    store: Path, name: str, content: bytes, kinds: Sequence[str] = (MODEL, TEMPLATE)
) -> Path:
    """Keep a model as `ollama pull NAME` does: a manifest that names blobs by their digests. A name
    has all four parts: "registry.ollama.ai/library/tiny/1b"."""
    (store / "blobs").mkdir(parents=True, exist_ok=True)
    layers: list[dict[str, object]] = []
    for kind in kinds:
        blob = content if kind == MODEL else kind.encode()
        digest = sha256(blob).hexdigest()
        (store / "blobs" / f"sha256-{digest}").write_bytes(blob)
        layers.append({"mediaType": kind, "digest": f"sha256:{digest}", "size": len(blob)})
    manifest = store / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return store / "blobs" / f"sha256-{sha256(content).hexdigest()}"


def put_in_lm_studio(home: Path, name: str, content: bytes) -> Path:
    """Keep a file as LM Studio does; the name is "publisher/model/file.gguf"."""
    file = home / "models" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def put_in_hub_cache(cache: Path, repository: str, name: str, content: bytes) -> Path:
    """Keep a file as huggingface_hub does: a blob, and a link to it in the commit's snapshot."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    blob = folder / "blobs" / sha256(content).hexdigest()
    link = folder / "snapshots" / ("c" * 40) / name
    for parent in (blob.parent, link.parent):
        parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.symlink_to(blob)
    return link
