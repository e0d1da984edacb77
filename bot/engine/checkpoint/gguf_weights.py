"""A GGUF file's weights, read and unpacked one after another, straight into their precision.

transformers unpacks a whole tensor to 32 bits in numpy and copies it, twice. Here a piece at a time
is read and unpacked: no more memory is taken than the result has, to the same bits.

Only the engine's worker thread imports this module, and the threads that read for it: it imports
torch and transformers.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateUsage=false
# gguf and transformers' loading functions are untyped; what leaves this module is typed.

import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, BinaryIO, cast

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, quants
from transformers import modeling_gguf_pytorch_utils

from bot.engine.checkpoint.files import DamagedCheckpoint
from bot.engine.kernels.block_format import BY_NUMBER
from config.gguf_header import GgufHeader, GgufTensor

try:
    from transformers.integrations.gguf import dequant as _fast
except ImportError:  # not every version has it; gguf's own way is slow and gives the same numbers
    _fast = None

PIECE = 1 << 15
"""How many weights are unpacked at a time: a multiple of every kind's blocks, which stays in the
processor's cache and is too little for torch to share among threads."""

WHOLE = {
    GGMLQuantizationType.F32: torch.float32,
    GGMLQuantizationType.F16: torch.float16,
    GGMLQuantizationType.BF16: torch.bfloat16,
}
"""What is stored as numbers."""

FAST_KINDS: Container[int] = frozenset(() if _fast is None else _fast.GGML_BLOCK)
"""What transformers unpacks itself."""

Process = Callable[["np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]


def is_unpacked(kind: int) -> bool:
    """Whether weights that are stored in GGML's way of this number can be unpacked."""
    return kind in WHOLE or kind in FAST_KINDS or kind in quants._type_traits


def unpacked(raw: torch.Tensor, kind: int) -> torch.Tensor:
    """Bytes of whole blocks as numbers."""
    whole = WHOLE.get(GGMLQuantizationType(kind))
    if whole is not None:
        return raw.view(whole)
    if _fast is not None and kind in FAST_KINDS:
        return _fast.dequantize(raw, kind)
    stored = GGMLQuantizationType(kind)
    _weights, block_bytes = gguf.GGML_QUANT_SIZES[stored]
    # What is no number is found when the model is tried; no warning is printed for it here.
    with np.errstate(all="ignore"):
        numbers = quants.dequantize(raw.numpy().reshape(-1, block_bytes), stored)
    return torch.from_numpy(numbers).ravel()


class GgufWeights:
    """The weights of an open file, for `from_pretrained`: each is read when it is asked for."""

    def __init__(self, opened: BinaryIO, dtype: torch.dtype) -> None:
        self._opened = opened
        self.dtype = dtype
        """What weights become where no other precision is named."""
        self._alone = Lock()

    def whole(self, tensor: GgufTensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A tensor in a precision, the model's where none is named. Raises `DamagedCheckpoint`."""
        weights, block_bytes = gguf.GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        count = tensor.elements
        values = torch.empty(count, dtype=dtype or self.dtype)
        for first in range(0, count, PIECE):
            some = min(PIECE, count - first)
            raw = self._read(
                tensor.start + first // weights * block_bytes, some // weights * block_bytes
            )
            values[first : first + some] = unpacked(raw, tensor.kind)
        return values.view(tensor.shape)

    def processed(self, tensor: GgufTensor, process: Process) -> torch.Tensor:
        """A tensor that lies otherwise in the file than in the model."""
        # Several threads ask for tensors; in 32 bits there is one at a time.
        with self._alone:
            values = process(self.whole(tensor, torch.float32).numpy())
            return torch.from_numpy(np.copy(values)).to(self.dtype)

    def raw_rows(
        self, tensor: GgufTensor, first: int, rows: int
    ) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """Rows of a matrix as they are stored, [rows, bytes of a row]. Raises
        `DamagedCheckpoint`."""
        weights, block_bytes = gguf.GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        row_bytes = tensor.shape[1] // weights * block_bytes
        raw = self._read(tensor.start + first * row_bytes, rows * row_bytes)
        return raw.numpy().reshape(rows, row_bytes)

    def _read(self, start: int, count: int) -> torch.Tensor:
        raw = bytearray(os.pread(self._opened.fileno(), count, start))
        if len(raw) < count:
            raise DamagedCheckpoint("its file became shorter while it was read")
        return torch.frombuffer(raw, dtype=torch.uint8)


@dataclass(frozen=True, slots=True)
class StoredBlocks:
    """A matrix that may stay as it is in its file, and the numbers of its rows in the order in
    which the model has them, None where that is the file's.
    """

    tensor: GgufTensor
    order: "np.ndarray[Any, np.dtype[np.int64]] | None"


class LazyWeight:
    """Stands in for a tensor of a state dictionary: `weight[...]` reads it."""

    def __init__(
        self, read: Callable[[], torch.Tensor], shape: tuple[int, ...], blocks: StoredBlocks | None
    ) -> None:
        self._read = read
        self._shape = shape
        self.blocks = blocks
        """Where the weight is a matrix in blocks whose rows are whole in the model."""

    def __getitem__(self, _index: object) -> torch.Tensor:
        return self._read()

    def stay_in_blocks(self, dtype: torch.dtype) -> None:
        """Give zeros that take no memory: what multiplies by the blocks is put in their place."""
        self._read = lambda: torch.zeros((), dtype=dtype).expand(self._shape)


def state_dict(
    weights: GgufWeights,
    header: GgufHeader,
    gguf_config: Mapping[str, object],
    model: torch.nn.Module,
) -> dict[str, LazyWeight] | None:
    """A file's weights by the names that transformers has for them; None where it makes a weight of
    several of the file's, or several of one.

    `gguf_config` is what transformers reads of the file's configuration; `model` needs no
    weights: its names are asked for.
    """
    tools = cast("Any", modeling_gguf_pytorch_utils)
    kinds = tools.TENSOR_PROCESSORS
    processor = kinds.get(header.values["general.architecture"], tools.TensorProcessor)(gguf_config)
    names: dict[str, str] = tools.get_gguf_hf_weights_map(model, processor)
    found: dict[str, LazyWeight] = {}
    for tensor in header.tensors:
        change = _Change(processor, tensor, names)
        if not change.is_alone:
            return None
        if tensor.name in names:
            reading = change.reading(weights)
            found[names[tensor.name]] = LazyWeight(reading, tensor.shape, change.blocks())
    return found


class _Change:
    """What transformers does to one tensor between the file and the model."""

    def __init__(self, processor: Any, tensor: GgufTensor, names: Mapping[str, str]) -> None:
        self._processor = processor
        self._tensor = tensor
        self._names = names
        # Tried on zeros that take no memory, whatever their number: does it leave them alone?
        zeros = np.broadcast_to(np.float32(0), tensor.shape)
        with np.errstate(all="ignore"):
            result, others = self._processed(zeros)
        self.is_alone = result.name == tensor.name and not others
        self._is_none = result.weights is zeros

    def reading(self, weights: GgufWeights) -> Callable[[], torch.Tensor]:
        """What reads the tensor."""
        if self._is_none:
            return lambda: weights.whole(self._tensor)
        return lambda: weights.processed(self._tensor, lambda raw: self._processed(raw)[0].weights)

    def blocks(self) -> StoredBlocks | None:
        """The matrix in blocks, where nothing but the order of its rows changes."""
        tensor = self._tensor
        if tensor.kind not in BY_NUMBER or len(tensor.shape) != 2:
            return None
        rows = tensor.shape[0]
        if self._is_none:
            return StoredBlocks(tensor, None)
        # Two columns of numbered rows show what becomes of them.
        numbered = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
        found = np.asarray(self._processed(numbered)[0].weights, np.int64)
        order = found[:, 0] // 2
        is_order = np.array_equal(numbered.astype(np.int64)[order], found)
        return StoredBlocks(tensor, order) if is_order and len(order) == rows else None

    def _processed(self, raw: "np.ndarray[Any, Any]") -> tuple[Any, dict[str, Any]]:
        others: dict[str, Any] = {}
        result = self._processor.process(
            weights=raw,
            name=self._tensor.name,
            tensor_key_mapping=self._names,
            parsed_parameters={"tensors": others},
        )
        return result, others
