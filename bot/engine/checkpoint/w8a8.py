"""Weights of 8 bits with states of 8 bits: both are multiplied as bytes.

Where there are no matrix instructions that is about twice as fast as bf16, for one row because half
of the memory is read, for many because the processor multiplies twice as many bytes at a time. Each
row's states have a scale of their own. What models keep in few large states is lost for the others
of the same row; so a model is tried with a text when it is loaded, and one that does not bear it
keeps its states whole.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's private calls and modules are untyped.

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import torch
from torch import nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from bot.engine.checkpoint.quantization import Int8Linear, bring_to, in_eight_bits
from bot.engine.kernels.packing import (
    NO_KERNEL,
    PackedLinear,
    by_shape,
    grouped,
    is_near,
    replace,
    working,
)
from bot.engine.machine.memory import trim

logger = logging.getLogger(__name__)

TOLERANCE = 0.02
"""How far a product may be from that of whole states of one size, as a share of the largest."""

LOGITS_TOLERANCE = 0.05
"""How far logits may be from those of whole states, as a share of their norm. Weights of 8 bits
move them by 0.004 to 0.04 themselves."""


class ByteProduct:
    """Weights [out, in] and a bias [out], multiplied as bytes."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        # Imported here: it brings numba.
        from bot.engine.kernels.matmul import Int8Product

        numbers, self._scale = in_eight_bits(weight)
        self.bias = bias
        self._product = Int8Product(numbers, self._scale, bias)
        self.on_whole: Callable[[], None] | None = None
        """States stay whole for the time being, and this is called each time."""

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in] to [..., out]."""
        if self.on_whole is None:
            return self._product(states)
        self.on_whole()
        # Whole numbers up to 127 are exact in every format.
        product = linear(states, self._product.whole.to(states.dtype))
        product = product * self._scale.to(states.dtype)
        return product if self.bias is None else product + self.bias.to(states.dtype)

    def weights(self) -> Iterator[torch.Tensor]:
        """The weights, some rows at a time."""
        return self._product.weights()

    def with_whole_states(self, dtype: torch.dtype) -> Int8Linear:
        """The same weights for states as they are, of a precision."""
        bias = None if self.bias is None else self.bias.to(dtype)
        return Int8Linear.of(self._product.whole, self._scale, bias, dtype)


@cache
def multiplies_bytes() -> bool:
    """Whether this processor does."""
    ones = torch.ones((1, 4))
    product = working(ByteProduct, ones)
    if product is None:
        return False
    is_right = float(product(ones)) == 4
    if not is_right:
        logger.warning("states stay whole here: bytes are multiplied wrongly")
    return is_right


def reduce_to_bytes(
    model: PreTrainedModel, dtype: torch.dtype, on_piece: Callable[[float], None]
) -> bool:
    """Put such layers in the place of a model's linear ones, but for the output layer; whether it
    was done: all agree with what they stand for, or none is replaced. `on_piece` hears the share
    done after each.
    """
    output = model.get_output_embeddings()
    found = grouped(model, lambda layer: layer is not output)
    shapes = by_shape(found)
    if not all(_agrees(layer.weight, dtype) for layers in shapes for layer in layers):
        return False
    shapes.clear()
    for index, (parent, names) in enumerate(found):
        replace(ByteProduct, parent, names, dtype)
        trim()
        on_piece((index + 1) / len(found))
    bring_to(model, dtype)
    return True


def has_bytes(model: nn.Module) -> bool:
    """Whether any of a model's layers multiplies bytes."""
    return bool(_byte_layers(model))


def bears_bytes(
    model: nn.Module, forward: Callable[[], torch.Tensor], on_layer: Callable[[], None]
) -> bool:
    """Whether `forward`, which gives logits of a text, gives about the same with bytes. `on_layer`
    is called for each layer whose states stay whole for that.
    """
    products = [product for _layer, product in _byte_layers(model)]

    def on_whole() -> None:
        # What the layer before was unpacked to goes back.
        trim()
        on_layer()

    with torch.inference_mode():
        found = forward().float()
        for product in products:
            product.on_whole = on_whole
        try:
            expected = forward().float()
        finally:
            for product in products:
                product.on_whole = None
    return float((found - expected).norm()) <= LOGITS_TOLERANCE * float(expected.norm())


def keep_states(model: nn.Module, on_layer: Callable[[], None]) -> None:
    """Leave a model's states whole, a layer at a time."""
    for layer, product in _byte_layers(model):
        layer.multiply_by(product.with_whole_states(layer.weight.dtype))
        trim()
        on_layer()


def _byte_layers(model: nn.Module) -> Sequence[tuple[PackedLinear, ByteProduct]]:
    """A model's layers that multiply bytes."""
    packed = [layer for layer in model.modules() if isinstance(layer, PackedLinear)]
    products = ((layer, layer.product) for layer in packed)
    return [(layer, product) for layer, product in products if isinstance(product, ByteProduct)]


def _agrees(weight: torch.Tensor, dtype: torch.dtype) -> bool:
    inputs = weight.shape[1]
    states = torch.linspace(-1, 1, 3 * inputs).to(dtype).view(3, inputs)
    try:
        product = ByteProduct(weight, None)
        with torch.inference_mode():
            found, expected = product(states), product.with_whole_states(dtype)(states)
    except NO_KERNEL as error:
        logger.warning("whole states instead of bytes: %s", error)
        return False
    if is_near(found, expected, TOLERANCE):
        return True
    logger.warning("whole states instead of bytes: %s differs", tuple(weight.shape))
    return False
