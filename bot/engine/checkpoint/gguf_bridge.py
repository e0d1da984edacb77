"""transformers reads a GGUF file through a header that was read once.

Its own reader takes an object for each token of a vocabulary, four times over, and the table of
tensors' names is made for each layer again: half a minute for a small model. While a file is loaded
what it calls for that is replaced: `gguf.GGUFReader` and `read_gguf_metadata` by what our reader
found, `gguf.get_tensor_name_map` by one that remembers, `gguf.dequantize` by a faster one. Every
conversion stays transformers' own. Where a version has one of these elsewhere it is not replaced,
and where what is served does not suit it the file is read in its own way: slower, the same.

Only the engine's worker thread imports this module: it imports torch and transformers.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# gguf and transformers' loading functions are untyped; what leaves this module is typed.

import logging
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFValueType
from transformers import modeling_gguf_pytorch_utils

from bot.engine.checkpoint.gguf_weights import PIECE, unpacked
from config.gguf_header import GgufHeader, GgufTensor, Value

try:
    from transformers.integrations import gguf as integration
    from transformers.integrations.gguf import reader as integrated_reader
    from transformers.integrations.gguf import utils as integrated_utils
except ImportError:  # not every version has them
    integration = integrated_reader = integrated_utils = None

logger = logging.getLogger(__name__)

Loaded = TypeVar("Loaded")

VOCABULARY = "tokenizer."
TOKENS = "tokenizer.ggml.tokens"

UNSUITED = (AttributeError, ImportError, TypeError)
"""What shows that a version wants more than is served, rather than that a file is damaged."""


class Everything:
    """All of a header's arrays."""

    def __contains__(self, _key: object) -> bool:
        return True


class NoVocabulary:
    """The arrays that a configuration is made of."""

    def __contains__(self, key: object) -> bool:
        return not str(key).startswith(VOCABULARY)


def through(file: Path, header: GgufHeader, load: Callable[[], Loaded]) -> Loaded:
    """What `load` gives, which lets transformers read a file whose header this is."""
    try:
        with _served(file, header):
            return load()
    except UNSUITED as error:
        logger.warning("%s is read in transformers' own, slower way: %r", file.name, error)
        return load()


def gguf_config(file: Path) -> Mapping[str, object]:
    """A file's configuration in transformers' names, before defaults are added."""
    load = cast("Any", modeling_gguf_pytorch_utils).load_gguf_checkpoint
    return cast("Mapping[str, object]", load(str(file))["config"])


def has_own_way(architecture: str) -> bool:
    """Whether transformers has another way for files of an architecture, which reads and unpacks
    its weights one after another as well."""
    return integrated_utils is not None and integrated_utils.is_gguf_arch_supported(architecture)


@contextmanager
def _served(file: Path, header: GgufHeader) -> Generator[None]:
    own_reader = gguf.GGUFReader
    own_metadata = getattr(integrated_reader, "read_gguf_metadata", None)

    def reader(path: "str | Path", *rest: Any) -> object:
        return _Reader(file, header) if _is(path, file) else own_reader(path, *rest)

    def metadata(path: "str | Path", strings: Container[str] = ()) -> object:
        if _is(path, file) or own_metadata is None:
            return _metadata(header, strings)
        return own_metadata(path, strings)

    with ExitStack() as undo:
        for module, name, stand_in in (
            (gguf, "GGUFReader", reader),
            (gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
            (gguf, "dequantize", _dequantized),
            (integration, "read_gguf_metadata", metadata),
            (integrated_reader, "read_gguf_metadata", metadata),
        ):
            undo.enter_context(_replaced(module, name, stand_in))
        yield


@contextmanager
def _replaced(module: object, name: str, stand_in: object) -> Generator[None]:
    own: object = getattr(module, name, None)
    if own is None:
        logger.warning("GGUF files are read more slowly: transformers has no %s any more", name)
        yield
        return
    setattr(module, name, stand_in)
    try:
        yield
    finally:
        setattr(module, name, own)


def _is(path: "str | Path", file: Path) -> bool:
    return Path(path).resolve() == file.resolve()


def _metadata(
    header: GgufHeader, strings: Container[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `read_gguf_metadata` gives: of arrays of text the lengths, where they are not named."""
    found: dict[str, Any] = {**header.values}
    for key, length in header.lengths.items():
        array = header.arrays.get(key, ())
        is_text = bool(array) and isinstance(array[0], str)
        is_kept = len(array) == length and (not is_text or key in strings)
        found[key] = list(array) if is_kept else length
    return found, tuple(tensor.name for tensor in header.tensors)


@dataclass(frozen=True, slots=True)
class _Field:
    """A `gguf.ReaderField`: `data` says which of the `parts` are the value."""

    parts: Sequence[object]
    data: Sequence[int]
    types: list[int]


class _Reader:
    """Stands in for a `gguf.GGUFReader`."""

    def __init__(self, file: Path, header: GgufHeader) -> None:
        self.fields = {
            **{key: _single(key, value) for key, value in header.values.items()},
            **{
                key: _several(key, value)
                for key, value in header.arrays.items()
                if not key.startswith(VOCABULARY)
            },
        }
        if TOKENS in header.lengths:
            self.fields[TOKENS] = _counted(header.lengths[TOKENS])
        self.tensors = [_Tensor(file, tensor) for tensor in header.tensors]


def _single(key: str, value: Value) -> _Field:
    parts = [*_key(key), value.encode() if isinstance(value, str) else [value]]
    return _Field(parts, [len(parts) - 1], [_type(value)])


def _several(key: str, values: Sequence[Value]) -> _Field:
    parts = [*_key(key), *(one.encode() if isinstance(one, str) else [one] for one in values)]
    types = [int(GGUFValueType.ARRAY), *(_type(one) for one in values[:1])]
    return _Field(parts, range(len(parts) - len(values), len(parts)), types)


def _counted(length: int) -> _Field:
    """A vocabulary of which only the size is wanted."""
    return _Field([[0]], (0,) * length, [int(GGUFValueType.ARRAY), int(GGUFValueType.INT64)])


def _key(key: str) -> list[object]:
    return [np.array([len(key)], dtype=np.uint64), key.encode(), [0]]


def _type(value: Value) -> int:
    match value:
        case bool():
            return int(GGUFValueType.BOOL)
        case int():
            return int(GGUFValueType.INT64)
        case float():
            return int(GGUFValueType.FLOAT64)
        case str():
            return int(GGUFValueType.STRING)


class _Tensor:
    """Stands in for a `gguf.ReaderTensor`."""

    def __init__(self, file: Path, tensor: GgufTensor) -> None:
        self._file = file
        self._tensor = tensor
        self.name = tensor.name
        self.tensor_type = GGMLQuantizationType(tensor.kind)

    @property
    def data(self) -> "np.ndarray[Any, Any]":
        """The bytes of its rows."""
        weights, block_bytes = gguf.GGML_QUANT_SIZES[self.tensor_type]
        *rows, row = self._tensor.shape
        shape = (*rows, row // weights * block_bytes)
        return np.memmap(self._file, np.uint8, "c", self._tensor.start, shape)


def _dequantized(
    data: "np.ndarray[Any, Any]", kind: GGMLQuantizationType
) -> "np.ndarray[Any, Any]":
    """Rows of bytes as rows of 32-bit numbers."""
    weights, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    raw = torch.from_numpy(data.reshape(-1)).split(PIECE // weights * block_bytes)
    values = torch.cat([unpacked(piece, kind).float() for piece in raw])
    return values.view(*data.shape[:-1], -1).numpy()
