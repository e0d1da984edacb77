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
from threading import Lock
from typing import Any, BinaryIO, cast

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, quants
from transformers import modeling_gguf_pytorch_utils

from bot.engine.checkpoint.files import DamagedCheckpoint
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
        self._dtype = dtype
        self._alone = Lock()

    def whole(self, tensor: GgufTensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A tensor in a precision, the model's where none is named. Raises `DamagedCheckpoint`."""
        weights, block_bytes = gguf.GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        count = tensor.elements
        values = torch.empty(count, dtype=dtype or self._dtype)
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
            return torch.from_numpy(np.copy(values)).to(self._dtype)

    def _read(self, start: int, count: int) -> torch.Tensor:
        raw = bytearray(os.pread(self._opened.fileno(), count, start))
        if len(raw) < count:
            raise DamagedCheckpoint("its file became shorter while it was read")
        return torch.frombuffer(raw, dtype=torch.uint8)


class _Weight:
    """Stands in for a tensor of a state dictionary: `weight[...]` reads it."""

    def __init__(self, read: Callable[[], torch.Tensor]) -> None:
        self._read = read

    def __getitem__(self, _index: object) -> torch.Tensor:
        return self._read()


def state_dict(
    weights: GgufWeights,
    header: GgufHeader,
    gguf_config: Mapping[str, object],
    model: torch.nn.Module,
) -> dict[str, _Weight] | None:
    """A file's weights by the names that transformers has for them; None where it makes a weight of
    several of the file's, or several of one.

    `gguf_config` is what transformers reads of the file's configuration; `model` needs no
    weights: its names are asked for.
    """
    tools = cast("Any", modeling_gguf_pytorch_utils)
    kinds = tools.TENSOR_PROCESSORS
    processor = kinds.get(header.values["general.architecture"], tools.TensorProcessor)(gguf_config)
    names: dict[str, str] = tools.get_gguf_hf_weights_map(model, processor)
    found: dict[str, _Weight] = {}
    for tensor in header.tensors:
        change = _Change(processor, tensor, names)
        if not change.is_alone:
            return None
        if tensor.name in names:
            found[names[tensor.name]] = _Weight(change.reading(weights))
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

    def _processed(self, raw: "np.ndarray[Any, Any]") -> tuple[Any, dict[str, Any]]:
        others: dict[str, Any] = {}
        result = self._processor.process(
            weights=raw,
            name=self._tensor.name,
            tensor_key_mapping=self._names,
            parsed_parameters={"tensors": others},
        )
        return result, others
