"""A model's files on a hub: which of a repository's belong to it, and whether one is whole.

Nothing is fetched here.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

CHUNK_BYTES = 1 << 20

SAFETENSORS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
TORCH_WEIGHTS = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin(\.index\.json)?")
DESCRIPTION = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab"
    r"|chat_template)\.json"
    r"|(vocab|merges)\.txt|(tokenizer|spiece|sentencepiece(\.bpe)?)\.model|chat_template\.jinja"
    r"|LICENSE(\.txt|\.md)?"
)
"""Configuration, tokenizer, chat template and licence; never code, never another format."""

BESIDE_GGUF = re.compile(r"chat_template\.jinja|LICENSE(\.txt|\.md)?")
"""A GGUF file holds everything else itself."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the hub: `sha256` for large files, `git_id` (git's hash of a blob) for others."""

    name: str
    size_bytes: int
    sha256: str | None = None
    git_id: str | None = None

    def is_at(self, path: Path) -> bool:
        """Whether this very file is at a path: size and checksum agree."""
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        digest = self._digest()
        if digest is None:
            return True
        with path.open("rb") as opened:
            while chunk := opened.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest() == (self.sha256 or self.git_id)

    def _digest(self) -> "_Digest | None":
        if self.sha256 is not None:
            return hashlib.sha256()
        if self.git_id is not None:
            # Git's name of a blob: it finds damage; it is no protection from an attacker.
            digest = hashlib.sha1(usedforsecurity=False)
            digest.update(f"blob {self.size_bytes}\0".encode())
            return digest
        return None


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model at one commit: the files that belong to it."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


def remote_file(sibling: "RepoSibling") -> RemoteFile:
    """What the hub tells of a file; `ValueError` where it does not even tell the size."""
    size = sibling.lfs.size if sibling.lfs else sibling.size
    if size is None:
        raise ValueError("a file without a size")
    digest = sibling.lfs.sha256 if sibling.lfs else None
    return RemoteFile(sibling.rfilename, size, digest, sibling.blob_id)


def belonging(files: Sequence[RemoteFile], gguf: str | None = None) -> Sequence[RemoteFile]:
    """The files of the model itself; none where there are no weights that can be used.

    Torch's own format is taken only where there are no safetensors. With the name of a GGUF file
    that file is the model.
    """
    if gguf is not None:
        weights = [file for file in files if file.name == gguf]
        return [file for file in files if weights and BESIDE_GGUF.fullmatch(file.name)] + weights
    weights = [file for file in files if SAFETENSORS.fullmatch(file.name)]
    weights = weights or [file for file in files if TORCH_WEIGHTS.fullmatch(file.name)]
    described = [file for file in files if DESCRIPTION.fullmatch(file.name)]
    return described + weights if weights else []
