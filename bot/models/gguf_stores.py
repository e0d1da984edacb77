"""GGUF files that other programs keep on this machine: Ollama, LM Studio and the hub's cache.

They are looked for where those programs put them, and only read. What is no chat model, such as an
embedding model or the eyes of another one, is left out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bot.engine.checkpoint.files import DamagedCheckpoint
from bot.engine.checkpoint.gguf_check import chat_model_bytes
from config.gguf_header import BadHeader, read_gguf_header

OLLAMA, LM_STUDIO, HUB_CACHE = "Ollama", "LM Studio", "Hugging Face cache"

OLLAMA_SERVICE = (Path("/usr/share/ollama/.ollama/models"), Path("/var/lib/ollama/models"))
"""Where Ollama keeps its models as a service of Linux, if this user may look there."""

OLLAMA_REGISTRY = ("registry.ollama.ai", "library")
"""What Ollama leaves out of a model's name."""

OLLAMA_WEIGHTS = "application/vnd.ollama.image.model"
OLLAMA_ADAPTER = "application/vnd.ollama.image.adapter"

MAX_FILES = 30
"""A header takes up to 0.1 s to read: of more files the newest are looked at."""

MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A GGUF file in the store of `owner`, and what that calls it.

    `weight_bytes` is what its weights take in memory; `problem` says why it cannot be used.
    """

    name: str
    owner: str
    file: Path
    weight_bytes: int = 0
    problem: str | None = None


def stored_models(variables: Mapping[str, str], home: Path) -> list[StoredModel]:
    """The chat models in the stores that the variables name and those in a home folder, each file
    once, the newest first. Folders that may not be read are skipped."""
    found: dict[Path, StoredModel] = {}
    for model in (
        *_of_ollama(variables, home),
        *_of_lm_studio(home),
        *_of_hub_cache(variables, home),
    ):
        with suppress(OSError):
            found.setdefault(model.file.resolve(strict=True), model)
    newest = sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)
    looked_at = (_examined(found[file]) for file in newest[:MAX_FILES])
    return [model for model in looked_at if model is not None]


def _examined(model: StoredModel) -> StoredModel | None:
    """A model with what its file says of it; None where it is not for chats."""
    if _is_for_other_work(model.file):
        return None
    try:
        weight_bytes = chat_model_bytes(model.file)
    except DamagedCheckpoint as error:
        # Ollama's files have long names that nobody knows.
        problem = str(error).replace(model.file.name, "it")
        return StoredModel(model.name, model.owner, model.file, problem=problem)
    return StoredModel(model.name, model.owner, model.file, weight_bytes)


def _is_for_other_work(file: Path) -> bool:
    """Whether a file holds no language model that writes: an embedding model, or a vision part."""
    try:
        architecture = str(read_gguf_header(file).values.get("general.architecture"))
    except (BadHeader, OSError):
        return False
    return "bert" in architecture or architecture == "clip"


def _of_ollama(variables: Mapping[str, str], home: Path) -> Iterator[StoredModel]:
    named = variables.get("OLLAMA_MODELS")
    stores = [Path(named).expanduser()] if named else [home / ".ollama" / "models", *OLLAMA_SERVICE]
    for store in stores:
        for manifest in _files(store / "manifests", "*/*/*/*"):
            digest = _weights_in(manifest)
            host, namespace, model, tag = manifest.parts[-4:]
            path = [part for part in (host, namespace) if part not in OLLAMA_REGISTRY]
            if digest is not None:
                blob = store / "blobs" / digest.replace(":", "-")
                yield StoredModel("/".join([*path, f"{model}:{tag}"]), OLLAMA, blob)


def _weights_in(manifest: Path) -> str | None:
    """The digest of a model's weights; None where they are not all there is to it."""
    layers = _table(manifest).get("layers")
    if not isinstance(layers, list):
        return None
    known = [cast("dict[str, object]", one) for one in cast("list[object]", layers)
             if isinstance(one, dict)]  # fmt: skip
    kinds = [one.get("mediaType") for one in known]
    if kinds.count(OLLAMA_WEIGHTS) != 1 or OLLAMA_ADAPTER in kinds:
        return None
    digest = known[kinds.index(OLLAMA_WEIGHTS)].get("digest")
    return digest if isinstance(digest, str) and Path(digest).name == digest else None


def _of_lm_studio(home: Path) -> Iterator[StoredModel]:
    for base in _lm_studio_homes(home):
        chosen = _table(base / "settings.json").get("downloadsFolder")
        for folder in {base / "models", *([Path(chosen)] if isinstance(chosen, str) else [])}:
            for file in _files(folder, "*/*/*.gguf"):
                yield StoredModel(file.stem, LM_STUDIO, file)


def _lm_studio_homes(home: Path) -> Iterator[Path]:
    """Where LM Studio lives: what its pointer says, and its usual places, the older one last."""
    with suppress(OSError, ValueError):
        yield Path((home / ".lmstudio-home-pointer").read_text("utf-8").strip())
    yield home / ".lmstudio"
    yield home / ".cache" / "lm-studio"


def _of_hub_cache(variables: Mapping[str, str], home: Path) -> Iterator[StoredModel]:
    for file in _files(_hub_cache(variables, home), "models--*/snapshots/*/*.gguf"):
        yield StoredModel(file.stem, HUB_CACHE, file)


def _hub_cache(variables: Mapping[str, str], home: Path) -> Path:
    """As huggingface_hub finds it (docs: "Environment variables")."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if name in variables:
            return Path(variables[name]).expanduser()
    if "HF_HOME" in variables:
        return Path(variables["HF_HOME"]).expanduser() / "hub"
    caches = variables.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else home / ".cache") / "huggingface" / "hub"


def _files(folder: Path, pattern: str) -> Iterable[Path]:
    """The files below a folder, none where it is not there or may not be read."""
    try:
        return sorted(file for file in folder.glob(pattern) if file.is_file())
    except OSError:
        return ()


def _table(file: Path) -> Mapping[str, Any]:
    """A small JSON object, empty where there is none: other programs write it."""
    with suppress(OSError, ValueError, RecursionError):
        if file.stat().st_size <= MAX_MANIFEST_BYTES:
            content: object = json.loads(file.read_bytes())
            if isinstance(content, dict):
                return cast("dict[str, Any]", content)
    return {}
