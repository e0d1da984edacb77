"""Weights of 8 or 4 bits with whole states, for exact engines and other devices than the CPU.

The linear layers of a loaded model take half or a third of the memory; the output layer and the
embeddings stay as they are. 8 bits: symmetric, one scale an output. 4 bits: groups of 32 inputs,
each with a scale and a middle. A layer's weights are unpacked whenever it multiplies. On a CPU that
need not be exact, weights are in blocks instead: `block_quantization`.

Only the engine's worker imports this module: it imports torch.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's modules are only partly typed.

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import PretrainedConfig, PreTrainedModel
from typing_extensions import override

from bot.engine.kernels.block_format import Q4_1, Q8_0
from bot.engine.machine.memory import trim

BLOCK_FORMATS = {8: Q8_0, 4: Q4_1}
"""The blocks that fewer bits are kept in where states may become bytes."""

GROUP = 32
"""Inputs that share a scale and a middle in 4 bits."""

BLOCK = 64
"""Outputs that lie together in 4 bits."""

FEW_WEIGHTS = 1 << 20
"""So many weights are reduced at a time: in 32 bits a whole layer of a large model takes what the
reduced model does not have."""

SCRATCH_BYTES = 128 << 20
"""What reducing takes beside the reduced model: one layer twice, and few weights in 32 bits."""


class QuantizedLinear(nn.Module, ABC):
    """A linear layer without its full weights: what the two formats share.

    It computes in `dtype`, or in that of the layer. `weight` is empty: some architectures ask for
    its dtype.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.weight: torch.Tensor
        self.register_buffer("weight", layer.weight.detach().new_empty(0, dtype=dtype))
        self.bias: torch.Tensor | None = layer.bias

    @override
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`hidden` is [..., in], the result [..., out]."""
        multiplied = self.unpacked(hidden.reshape(-1, hidden.shape[-1]))
        if self.bias is not None:
            multiplied = multiplied + self.bias
        return multiplied.view(*hidden.shape[:-1], -1)

    @abstractmethod
    def unpacked(self, rows: torch.Tensor) -> torch.Tensor:
        """Multiply `rows`, [rows, in], with the weights unpacked."""

    @abstractmethod
    def weights(self) -> Iterator[torch.Tensor]:
        """The weights [rows, in], unpacked, in 32 bits."""


class Int8Linear(QuantizedLinear):
    """Weights of 8 bits: `quantized` is [out, in], `scale` [out]."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype | None = None) -> None:
        super().__init__(layer, dtype)
        quantized, scale = in_eight_bits(layer.weight)
        self.quantized: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("quantized", quantized)
        self.register_buffer("scale", scale.to(self.weight.dtype))

    @override
    def unpacked(self, rows: torch.Tensor) -> torch.Tensor:
        # Whole numbers up to 127 are exact in every format.
        return linear(rows, self.quantized.to(rows.dtype)) * self.scale

    @override
    def weights(self) -> Iterator[torch.Tensor]:
        yield self.quantized * self.scale.float()[:, None]


class Int4Linear(QuantizedLinear):
    """Weights of 4 bits; inputs are a multiple of GROUP, outputs of BLOCK.

    `quantized` is [out / BLOCK, in, BLOCK / 2] bytes, each with the weights of two outputs that lie
    half a block apart. `scale_and_middle` is [in / GROUP, out, 2]: a weight is its number less 8,
    times the scale, plus the middle.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype | None = None) -> None:
        super().__init__(layer, dtype)
        packed, pairs = zip(*map(_four_bits, _few_rows(layer.weight)), strict=True)
        self.quantized: torch.Tensor
        self.scale_and_middle: torch.Tensor
        self.register_buffer("quantized", torch.cat(packed))
        self.register_buffer("scale_and_middle", torch.cat(pairs, dim=1).to(self.weight.dtype))

    @override
    def unpacked(self, rows: torch.Tensor) -> torch.Tensor:
        return linear(rows, self._unpacked(rows.dtype))

    @override
    def weights(self) -> Iterator[torch.Tensor]:
        yield self._unpacked(torch.float32)

    def _unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        # Turned round while a byte holds two weights: that moves the least.
        pairs = self.quantized.transpose(1, 2).contiguous()
        numbers = torch.cat([pairs & 15, pairs >> 4], dim=1).view(torch.int8) - 8
        outputs, inputs = self.scale_and_middle.shape[1], pairs.shape[2]
        weights = numbers.to(dtype).view(outputs, -1, GROUP)
        scale, middle = self.scale_and_middle.to(dtype).permute(2, 1, 0)[..., None]
        return weights.mul_(scale).add_(middle).view(outputs, inputs)


def quantize(
    model: PreTrainedModel,
    bits: int,
    dtype: torch.dtype | None = None,
    on_piece: Callable[[float], None] = lambda _share: None,
) -> None:
    """Put quantised layers in the place of a model's linear ones, but for the output layer.

    One layer after another: where the loaded weights are read from the file as they are needed,
    no more memory is taken than the result has. What stays whole is brought to `dtype` as well. A
    layer whose size 4 bits cannot hold takes 8. `on_piece` hears the share done after each layer.
    """
    output = model.get_output_embeddings()
    found = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not output
    ]
    count = len(found)
    while found:
        name, layer = found.pop()
        parent, _, own_name = name.rpartition(".")
        has_size = layer.in_features % GROUP == 0 and layer.out_features % BLOCK == 0
        kind = Int4Linear if bits == 4 and has_size else Int8Linear
        setattr(model.get_submodule(parent), own_name, kind(layer, dtype).eval())
        trim()
        on_piece(1 - len(found) / count)
    if dtype is not None:
        bring_to(model, dtype)


def bring_to(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """What stays whole of a model computes in a precision as well."""
    for whole in model.state_dict(keep_vars=True).values():
        if whole.is_floating_point():
            whole.data = whole.data.to(dtype)


def quantized_bytes(config: PretrainedConfig, elements: int, itemsize: int, bits: int) -> int:
    """What a model's weights will take, of `elements` with `itemsize` bytes each before."""
    vocabulary = int(getattr(config, "vocab_size", 0)) * int(getattr(config, "hidden_size", 0))
    is_tied = bool(getattr(config, "tie_word_embeddings", False))
    kept = min(elements, vocabulary if is_tied else 2 * vocabulary)
    # A scale and a middle for each group; the scale of each output is too little to count.
    bytes_each = 1.0 if bits == 8 else 0.5 + 2 * itemsize / GROUP
    return int(kept * itemsize + (elements - kept) * bytes_each)


def block_bytes(config: PretrainedConfig, elements: int, itemsize: int, bits: int) -> int:
    """The same in blocks. A vocabulary that is looked up alone, and one of an encoder-decoder
    model, stay whole; an output layer has 8 bits."""
    vocabulary = int(getattr(config, "vocab_size", 0)) * int(getattr(config, "hidden_size", 0))
    is_tied = bool(getattr(config, "tie_word_embeddings", False))
    in_layers = elements - min(elements, vocabulary if is_tied else 2 * vocabulary)
    rounded = in_layers * BLOCK_FORMATS[bits].bytes_each
    if config.is_encoder_decoder:
        # What is tied is there as rows to look up and once more as a packed matrix.
        return int(rounded + 2 * vocabulary * itemsize)
    looked_up = 0 if is_tied else vocabulary * itemsize
    return int(rounded + vocabulary * BLOCK_FORMATS[8].bytes_each + looked_up)


def in_eight_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [out, in] as whole numbers, and the scale of each output."""
    numbers, scales = zip(*map(_eight_bits, _few_rows(weight)), strict=True)
    return torch.cat(numbers), torch.cat(scales)


def _few_rows(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    """Rows of [out, in] in 32 bits, as many whole blocks as FEW_WEIGHTS are, at least one."""
    blocks = max(1, FEW_WEIGHTS // (BLOCK * weight.shape[1]))
    return (rows.float() for rows in weight.detach().split(blocks * BLOCK))


def _eight_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [out, in] as whole numbers, and the scale of each output."""
    scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


def _four_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [out, in] as `Int4Linear` keeps them: the packed numbers, scales and middles."""
    outputs, inputs = weight.shape
    groups = weight.view(outputs, inputs // GROUP, GROUP)
    low, high = groups.amin(dim=2), groups.amax(dim=2)
    scale = ((high - low) / 15).clamp(min=torch.finfo(torch.float32).tiny)
    numbers = ((groups - low[..., None]) / scale[..., None]).round().clamp(0, 15)
    pairs = torch.stack([scale, low + 8 * scale], dim=-1).transpose(0, 1)
    return _packed(numbers.view(outputs, inputs).to(torch.uint8)), pairs


def _packed(numbers: torch.Tensor) -> torch.Tensor:
    """Numbers below 16, [out, in], as `Int4Linear` keeps them."""
    blocks = numbers.view(-1, BLOCK, numbers.shape[1]).transpose(1, 2)
    half = BLOCK // 2
    return (blocks[..., :half] | (blocks[..., half:] << 4)).contiguous()
