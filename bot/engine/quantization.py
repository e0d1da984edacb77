"""Weights of 8 or 4 bits: the linear layers of a loaded model in half or a third of the memory.

Weights alone are quantised, activations never, so that a row's answer does not depend on the rows
beside it. The output layer and the embeddings stay as they are: they choose the words, and mostly
share their weights. Only the engine's worker imports this module: it imports torch.

8 bits: symmetric, one scale an output. 4 bits: groups of 32 inputs, each with a scale and a middle.
For few rows torch's own kernels read the packed weights (those that torch.compile and torchao use);
for many rows, and where there is no kernel, a layer's weights are unpacked and multiplied as usual.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's kernels are private and untyped; what leaves this module is typed.

from typing import Any, cast

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import PretrainedConfig, PreTrainedModel
from typing_extensions import override

INT8_KERNEL_ROWS = 12
INT4_KERNEL_ROWS = 48
"""Up to so many rows the kernel on packed weights is faster than unpacking them: measured on a CPU
with AVX-512, see docs/performance.md."""

GROUP = 32
"""Inputs that share a scale and a middle in 4 bits."""

BLOCK = 64
"""Outputs that lie together in 4 bits, as torch's kernel for AVX-512 wants them."""

TOLERANCE = 0.02
"""How far a kernel may be from the unpacked weights, as a share of the largest output."""

BYTES = {8: 1.0, 4: 0.5 + 2 * 2 / GROUP}
"""Bytes a weight; scales and middles are in half precision."""


class QuantizedLinear(nn.Module):
    """A linear layer without its full weights: what the two formats share.

    `weight` is empty: some architectures ask for its dtype.
    """

    kernel_rows: int

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight: torch.Tensor
        self.register_buffer("weight", layer.weight.detach().new_empty(0))
        self.bias = layer.bias
        self.has_kernel = False

    @override
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`hidden` is [..., in], the result [..., out]."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        is_few = rows.shape[0] <= self.kernel_rows and rows.device.type == "cpu"
        multiplied = self.by_kernel(rows) if is_few and self.has_kernel else self.unpacked(rows)
        bias = cast("torch.Tensor | None", self.bias)
        if bias is not None:
            multiplied = multiplied + bias
        return multiplied.view(*hidden.shape[:-1], -1)

    def by_kernel(self, rows: torch.Tensor) -> torch.Tensor:
        """Multiply `rows`, [rows, in], with the packed weights."""
        raise NotImplementedError

    def unpacked(self, rows: torch.Tensor) -> torch.Tensor:
        """The same with the weights unpacked."""
        raise NotImplementedError

    def agrees(self, inputs: int) -> bool:
        """Whether torch's kernel, which is private, is there and gives what it should here."""
        rows = torch.linspace(-1, 1, 2 * inputs, dtype=self.weight.dtype).view(2, inputs)
        with torch.inference_mode():
            expected = self.unpacked(rows)
            try:
                found = self.by_kernel(rows)
            except (AttributeError, RuntimeError):
                return False
        largest = float(expected.abs().max())
        return float((found - expected).abs().max()) <= TOLERANCE * largest


class Int8Linear(QuantizedLinear):
    """Weights of 8 bits: `quantized` is [out, in], `scale` [out]."""

    kernel_rows = INT8_KERNEL_ROWS

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        weight = layer.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.quantized: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("quantized", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale.to(layer.weight.dtype))
        self.has_kernel = self.agrees(layer.in_features)

    @override
    def by_kernel(self, rows: torch.Tensor) -> torch.Tensor:
        return cast("Any", torch)._weight_int8pack_mm(rows, self.quantized, self.scale)

    @override
    def unpacked(self, rows: torch.Tensor) -> torch.Tensor:
        # Whole numbers up to 127 are exact in every format.
        return linear(rows, self.quantized.to(rows.dtype)) * self.scale


class Int4Linear(QuantizedLinear):
    """Weights of 4 bits; inputs are a multiple of GROUP, outputs of BLOCK.

    `quantized` is [out / BLOCK, in, BLOCK / 2] bytes, each with the weights of two outputs that lie
    half a block apart. `scale_and_middle` is [in / GROUP, out, 2]: a weight is its number less 8,
    times the scale, plus the middle.
    """

    kernel_rows = INT4_KERNEL_ROWS

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        outputs, inputs = layer.weight.shape
        groups = layer.weight.detach().float().view(outputs, inputs // GROUP, GROUP)
        low, high = groups.amin(dim=2), groups.amax(dim=2)
        scale = ((high - low) / 15).clamp(min=torch.finfo(torch.float32).tiny)
        numbers = ((groups - low[..., None]) / scale[..., None]).round().clamp(0, 15)
        pairs = torch.stack([scale, low + 8 * scale], dim=-1).transpose(0, 1).contiguous()
        self.quantized: torch.Tensor
        self.scale_and_middle: torch.Tensor
        self.register_buffer("quantized", _packed(numbers.view(outputs, inputs).to(torch.uint8)))
        self.register_buffer("scale_and_middle", pairs.to(layer.weight.dtype))
        self.has_kernel = self.agrees(inputs)

    @override
    def by_kernel(self, rows: torch.Tensor) -> torch.Tensor:
        kernel = cast("Any", torch)._weight_int4pack_mm_for_cpu
        blocks, inputs, _half = self.quantized.shape
        packed = self.quantized.view(blocks * BLOCK, inputs // 2)
        return kernel(rows, packed, GROUP, self.scale_and_middle)

    @override
    def unpacked(self, rows: torch.Tensor) -> torch.Tensor:
        # Turned round while a byte holds two weights: that moves the least.
        pairs = self.quantized.transpose(1, 2).contiguous()
        numbers = torch.cat([pairs & 15, pairs >> 4], dim=1).view(torch.int8) - 8
        outputs, inputs = self.scale_and_middle.shape[1], pairs.shape[2]
        weights = numbers.to(rows.dtype).view(outputs, -1, GROUP)
        scale, middle = self.scale_and_middle.to(rows.dtype).permute(2, 1, 0)[..., None]
        return linear(rows, weights.mul_(scale).add_(middle).view(outputs, inputs))


def quantize(model: PreTrainedModel, bits: int) -> None:
    """Put quantised layers in the place of a model's linear ones, but for the output layer.

    One layer after another, so that little more memory is needed than before. A layer whose size
    4 bits cannot hold takes 8.
    """
    output = model.get_output_embeddings()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and layer is not output:
            parent, _, own_name = name.rpartition(".")
            has_size = layer.in_features % GROUP == 0 and layer.out_features % BLOCK == 0
            made = Int4Linear(layer) if bits == 4 and has_size else Int8Linear(layer)
            setattr(model.get_submodule(parent), own_name, made.eval())


def quantized_bytes(config: PretrainedConfig, elements: int, itemsize: int, bits: int) -> int:
    """What a model's weights will take, of `elements` with `itemsize` bytes each before."""
    vocabulary = int(getattr(config, "vocab_size", 0)) * int(getattr(config, "hidden_size", 0))
    is_tied = bool(getattr(config, "tie_word_embeddings", False))
    kept = min(elements, vocabulary if is_tied else 2 * vocabulary)
    return int(kept * itemsize + (elements - kept) * BYTES[bits])


def _packed(numbers: torch.Tensor) -> torch.Tensor:
    """Numbers below 16, [out, in], as `Int4Linear` keeps them."""
    blocks = numbers.view(-1, BLOCK, numbers.shape[1]).transpose(1, 2)
    half = BLOCK // 2
    return (blocks[..., :half] | (blocks[..., half:] << 4)).contiguous()
