"""Matmul by block-quantised weights, beside what GGML's own library says the weights are.

Bounds: a state becomes a byte by a scale that is a 127th of the largest of its 32, so it moves by
half a scale at most; a sum of n products in fp32 is off by at most n units in the last place of
what is summed (N. Higham, Accuracy and Stability of Numerical Algorithms, chapter 3).
"""
# pyright: reportUnknownMemberType=false

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.engine.kernels.block_format import (
    FORMATS,
    GROUP,
    Q4_1,
    Q4_K,
    Q6_K,
    BlockFormat,
)
from bot.engine.kernels.block_matmul import BlockProduct
from bot.engine.kernels.block_tile import BYTE_ARITHMETICS, ByteArithmetic
from tests.gguf_file import HEADS, random_blocks

WAYS = [each for each in BYTE_ARITHMETICS if each.is_here]
"""What this processor can multiply by; the portable way is among them everywhere."""

EPSILON = torch.finfo(torch.float32).eps


def by_ggml(
    kind: BlockFormat, raw: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]"
) -> torch.Tensor:
    stored = gguf.GGMLQuantizationType(kind.number)
    return torch.from_numpy(gguf.quants.dequantize(raw, stored))


def rounding(weights: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """What fp32 may be off by: on the way to a sum there are codes before their offset or minimum,
    which reach four times as far as the largest weight at most.
    """
    summed = 4 * weights.double().abs().amax(1) * states.double().abs().sum(1, keepdim=True)
    return weights.shape[1] * EPSILON * summed


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@settings(max_examples=25, deadline=None)
@given(
    outputs=st.integers(1, 40),
    supers=st.integers(1, 3),
    heads=st.lists(st.floats(-65504, 65504, width=16), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_blocks_are_the_numbers_that_ggml_reads_to_the_bit(
    kind: BlockFormat, outputs: int, supers: int, heads: list[float], seed: int
) -> None:
    """Scales of every size are among them: the smallest, the largest, zero, with either sign."""
    raw = random_blocks(kind, outputs, supers * kind.inputs, heads, seed)
    expected = by_ggml(kind, raw)
    for way in WAYS:
        product = BlockProduct.of(raw, kind, way=way)
        assert torch.equal(torch.cat([*product.weights()]), expected)


@pytest.mark.parametrize(
    ("kind", "way", "dtype"),
    [
        *((kind, way, torch.float32) for kind in FORMATS for way in WAYS),
        *((kind, WAYS[0], torch.bfloat16) for kind in (Q4_1, Q6_K)),
    ],
    ids=lambda each: getattr(each, "name", None) or str(each),
)
def test_a_product_is_off_by_what_bytes_lose_of_the_states_at_most(
    kind: BlockFormat, way: ByteArithmetic, dtype: torch.dtype
) -> None:
    raw = random_blocks(kind, 50, 512)
    weights, bias = by_ggml(kind, raw), torch.randn(50)
    product = BlockProduct.of(raw, kind, bias, way)
    for rows in (1, 2, 3, 4, 9):
        states = torch.randn((rows, 512)).to(dtype)
        states[0, 7] = 50  # one channel far beyond the others
        expected = states.double() @ weights.double().T + bias.double()
        scales = states.double().abs().view(rows, -1, GROUP).amax(-1) / 127
        lost = scales.repeat_interleave(GROUP, 1) / 2 @ weights.double().abs().T
        bound = lost + rounding(weights, states) + expected.abs() * torch.finfo(dtype).eps
        assert bool(((product(states).double() - expected).abs() <= bound).all())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_states_that_are_bytes_already_lose_nothing(kind: BlockFormat, way: ByteArithmetic) -> None:
    """Whole numbers with 127 among each 32 have a scale of 1, at the ends of the range too."""
    raw = random_blocks(kind, 33, 512)
    weights, product = by_ggml(kind, raw), BlockProduct.of(raw, kind, way=way)
    states = torch.randint(-127, 128, (5, 512)).float()
    states[:2] = 127 * torch.tensor([[1.0], [-1.0]])
    states[:, ::GROUP] = 127
    expected = states.double() @ weights.double().T
    off = (product(states).double() - expected).abs()
    assert bool((off <= rounding(weights, states)).all())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_a_row_is_the_same_to_the_bit_whichever_rows_are_beside_it(
    kind: BlockFormat, way: ByteArithmetic
) -> None:
    product = BlockProduct.of(random_blocks(kind, 70, 768), kind, way=way)
    states = torch.randn((19, 768))
    alone = torch.cat([product(states[row : row + 1]) for row in range(19)])
    for rows in (2, 3, 4, 5, 8, 19):
        assert torch.equal(product(states[:rows]), alone[:rows])


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_one_matrix_is_filled_from_several_in_another_order(kind: BlockFormat) -> None:
    first, second = random_blocks(kind, 20, 512, seed=1), random_blocks(kind, 13, 512, seed=2)
    order = np.random.default_rng(0).permutation(13)
    product = BlockProduct(kind, 33, 512)
    product.fill(0, first)
    product.fill(20, second, order)
    expected = torch.cat([by_ggml(kind, first), by_ggml(kind, second[order])])
    assert torch.equal(product.rows(torch.arange(33)), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_a_scale_that_is_not_a_number_is_refused(kind: BlockFormat, bad: float) -> None:
    raw = random_blocks(kind, 40, 512)
    head = np.float16(bad).tobytes()
    for at in HEADS[kind.name]:
        spoilt = raw.copy()
        begin = spoilt.shape[1] - kind.raw_bytes + at
        spoilt[-1, begin : begin + 2] = np.frombuffer(head, np.uint8)
        with pytest.raises(ValueError, match="not a number"):
            BlockProduct.of(spoilt, kind)


def test_no_rows_give_no_rows_and_zeros_give_the_bias() -> None:
    bias = torch.randn(20)
    product = BlockProduct.of(random_blocks(Q4_1, 20, 64), Q4_1, bias)
    assert product(torch.empty((0, 64))).shape == (0, 20)
    assert torch.equal(product(torch.zeros((2, 3, 64))), bias.expand(2, 3, 20))


def test_rows_that_are_no_whole_number_of_blocks_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="Q4_K has no rows of 96 weights"):
        BlockProduct(Q4_K, 16, 96)
