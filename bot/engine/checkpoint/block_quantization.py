"""Weights of 8 or 4 bits in GGML's blocks: a loaded model in half or a third of its memory.

8 bits are Q8_0, 4 bits Q4_1: each 32 inputs of an output have a scale, in 4 bits a minimum too, so
that what a model keeps in few large weights costs the others little. States become bytes as well,
as `kernels.block_matmul` says. The vocabulary of a decoder-only model has 8 bits either way, since
it chooses the words, and its rows are looked up in the same copy.

Only the engine's worker thread imports this module: it imports torch and numba.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's modules and gguf are only partly typed.

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import gguf
import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from bot.engine.checkpoint.block_layers import BlockEmbedding, check
from bot.engine.checkpoint.quantization import BLOCK_FORMATS, bring_to
from bot.engine.kernels.block_format import GROUP, Q8_0, BlockFormat
from bot.engine.kernels.block_matmul import BlockProduct
from bot.engine.kernels.block_reading import Bytes
from bot.engine.kernels.packing import PackedLinear, grouped, install
from bot.engine.machine.memory import trim

log = logging.getLogger(__name__)

PIECE = 1 << 20
"""So many weights are rounded at a time: in 32 bits a whole layer of a large model takes what the
reduced model does not have."""


@cache
def multiplies_blocks(kind: BlockFormat) -> bool:
    """Whether this processor does, and rightly."""
    numbers = np.linspace(-1, 1, 3 * kind.inputs, dtype=np.float32).reshape(3, -1)
    raw = in_blocks(numbers, kind)
    try:
        check(BlockProduct.of(raw, kind), 0, raw)
    except MemoryError:
        raise
    except Exception as error:  # a compiler and its cache on disk may raise anything
        log.warning("%s blocks are not multiplied here: %s", kind.name, error)
        return False
    return True


def reduce_to_blocks(
    model: PreTrainedModel, bits: int, dtype: torch.dtype, on_piece: Callable[[float], None]
) -> bool:
    """Put products by blocks in the place of a model's linear layers, but for those whose inputs
    are no whole number of blocks; whether this processor multiplies them. `on_piece` hears the
    share done after each layer.
    """
    kind = BLOCK_FORMATS[bits]
    if not multiplies_blocks(kind) or not multiplies_blocks(Q8_0):
        return False
    output = model.get_output_embeddings()
    is_causal = not model.config.is_encoder_decoder
    if is_causal:
        _reduce_vocabulary(model, dtype)
    found = grouped(model, lambda layer: layer is not output and layer.in_features % GROUP == 0)
    for index, (parent, names) in enumerate(found):
        layers = [cast("nn.Linear", getattr(parent, name)) for name in names]
        install(_reduced(layers, kind, dtype), parent, names)
        layers.clear()
        trim()
        on_piece((index + 1) / len(found))
    bring_to(model, dtype)
    return True


def in_blocks(
    numbers: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", kind: BlockFormat
) -> Bytes:
    """Rows of weights as GGML would store them."""
    return gguf.quants.quantize(numbers, gguf.GGMLQuantizationType(kind.number))


def _reduce_vocabulary(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """What chooses tokens has 8 bits, and what looks them up where it is the same matrix."""
    output = cast("nn.Linear", model.get_output_embeddings())
    found = model.get_input_embeddings()
    if type(output) is not nn.Linear or output.in_features % GROUP:
        return
    is_tied = output.weight is found.weight
    whole = _reduced([output], Q8_0, dtype)
    model.set_output_embeddings(whole)
    if is_tied and type(found) is nn.Embedding:
        model.set_input_embeddings(BlockEmbedding(cast("BlockProduct", whole.product), dtype))


def _reduced(layers: Sequence[nn.Linear], kind: BlockFormat, dtype: torch.dtype) -> PackedLinear:
    """Layers that share their input, as one product."""
    biases: list[torch.Tensor] = [
        layer.bias for layer in layers if cast("torch.Tensor | None", layer.bias) is not None
    ]
    bias = torch.cat(biases) if biases else None
    outputs = sum(layer.out_features for layer in layers)
    product = BlockProduct(kind, outputs, layers[0].in_features, bias)
    first = 0
    few = max(1, PIECE // product.inputs)
    for layer in layers:
        for rows in layer.weight.detach().split(few):
            product.fill(first, in_blocks(rows.float().numpy(), kind))
            first += len(rows)
    return PackedLinear.of(product, product.inputs, product.outputs, dtype)
