"""Compiled kernels: each gives what torch's own operations give, in fp32 and in bf16."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import numpy as np
import pytest
import torch
from torch.nn import functional

from bot.engine.kernels import elementwise
from bot.engine.kernels.arrays import seen
from bot.engine.kernels.attention import NO_BIAS, NO_WINDOW, attention
from bot.engine.kernels.elementwise import GELU, SILU, add_norm, multiply_gated, rotate, store

DTYPES = (torch.float32, torch.bfloat16)
TOKENS = 5
EPSILON = 1e-5
NOTHING = np.empty(0, np.float32)


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def assert_close(given: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance = 1e-5 if given.dtype is torch.float32 else 1e-2
    torch.testing.assert_close(given.float(), expected.float(), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("has_bias", [False, True])
def test_states_are_added_and_normed(dtype: torch.dtype, has_bias: bool) -> None:
    hidden, added = drawn(TOKENS, 24) + 3, drawn(TOKENS, 24, dtype=dtype, seed=2)
    weight, bias = drawn(24, seed=3), drawn(24, seed=4)
    expected = hidden + added.float()
    normed = (
        functional.layer_norm(expected, (24,), weight, bias, EPSILON)
        if has_bias
        else functional.rms_norm(expected, (24,), weight, EPSILON)
    )
    out = torch.empty(TOKENS, 24, dtype=dtype)
    biases = seen(bias) if has_bias else NOTHING
    add_norm(seen(hidden), added.data_ptr(), seen(weight), biases, EPSILON, seen(out))
    assert_close(hidden, expected)
    assert_close(out, normed)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["silu", "gelu"])
def test_gates_let_through(dtype: torch.dtype, kind: str) -> None:
    states = 4 * drawn(TOKENS, 2 * 19, dtype=dtype)
    states[0, :4] = torch.tensor([-100.0, 100.0, -1e4, 1e4])
    gates, ups = states.float().chunk(2, dim=1)
    opened = (
        functional.silu(gates) if kind == "silu" else functional.gelu(gates, approximate="tanh")
    )
    out = torch.empty(TOKENS, 19, dtype=dtype)
    multiply_gated(states.data_ptr(), *(SILU if kind == "silu" else GELU), seen(out))
    assert_close(out, opened * ups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("has_norm", [False, True])
def test_queries_and_keys_are_turned_by_their_positions(dtype: torch.dtype, has_norm: bool) -> None:
    heads, key_heads, size = 4, 2, 12
    states = drawn(TOKENS, heads + 2 * key_heads, size, dtype=dtype)
    angles = drawn(40, size // 2, seed=2)
    turns = torch.stack([angles.cos(), angles.sin()], dim=1)
    positions = torch.tensor([3, 4, 39, 0, 7])
    query_norm, key_norm = drawn(size, seed=5), drawn(size, seed=6)
    expected = states.float().clone()
    both = ((slice(0, heads), query_norm), (slice(heads, heads + key_heads), key_norm))
    for which, norm in both:
        own = expected[:, which]
        own = functional.rms_norm(own, (size,), norm, EPSILON) if has_norm else own
        cosine, sine = turns[positions].repeat(1, 1, 2).chunk(2, dim=1)
        low, high = own.chunk(2, dim=2)
        expected[:, which] = own * cosine + torch.cat([-high, low], dim=2) * sine
    norms = (seen(query_norm), seen(key_norm)) if has_norm else (NOTHING, NOTHING)
    keys = torch.empty(1, 1, key_heads, size, dtype=dtype)
    rotate(
        states.data_ptr(), heads, *norms, EPSILON, seen(turns), positions.numpy(), seen(keys)
    )  # fmt: skip
    assert_close(states, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_and_values_are_written_to_their_slots_and_nowhere_else(dtype: torch.dtype) -> None:
    states = drawn(3, 4 + 2 * 2, 6, dtype=dtype)
    keys, values = (torch.zeros(4, 9, 2, 6, dtype=dtype) for _ in range(2))
    slots, positions = np.array([2, 0, 2]), np.array([7, 0, 8])
    store(states.data_ptr(), 4, slots, positions, seen(keys), seen(values))
    for token, (slot, position) in enumerate(zip(slots, positions, strict=True)):
        assert torch.equal(keys[slot, position], states[token, 4:6])
        assert torch.equal(values[slot, position], states[token, 6:8])
    assert keys.count_nonzero() == values.count_nonzero() == 3 * 2 * 6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("window", [4, NO_WINDOW])
@pytest.mark.parametrize("has_bias", [False, True])
def test_each_token_attends_to_what_its_row_holds(
    dtype: torch.dtype, threads: int, window: int, has_bias: bool
) -> None:
    slots, ends = np.array([1, 0, 1, 3, 3]), np.array([1, 11, 2, 30, 31])
    heads, group, size = 2, 3, 16
    cached = [drawn(4, 40, heads, size, dtype=dtype, seed=seed) for seed in (2, 3)]
    queries = drawn(TOKENS, heads * group * size + 5, dtype=dtype)
    bias = drawn(heads * group, 8, seed=4)
    out = torch.empty(TOKENS, heads * group * size, dtype=dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        attention(size, seen(out).dtype.type)(
            queries, (seen(cached[0]), seen(cached[1])), slots, ends, 0.3, seen(out),
            window=window, bias=seen(bias) if has_bias else NO_BIAS,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    for token, (slot, end) in enumerate(zip(slots.tolist(), ends.tolist(), strict=True)):
        start = max(0, end - window)
        keys, values = (
            each[slot, start:end].float().transpose(0, 1).repeat_interleave(group, dim=0)
            for each in cached
        )
        query = queries[token, : heads * group * size].float().view(heads * group, 1, size)
        scores = (query * keys).sum(dim=2) * 0.3
        if has_bias:
            scores += bias[:, (end - 1 - torch.arange(start, end)).clamp(max=7)]
        expected = (scores.softmax(dim=1)[:, :, None] * values).sum(dim=1)
        assert_close(out[token], expected.flatten())


def test_without_a_folder_to_keep_them_kernels_are_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert elementwise._is_kept()  # pyright: ignore[reportPrivateUsage]

    def refuse(**_options: object) -> object:
        def decorate(_function: object) -> object:
            raise RuntimeError("no locator available")

        return decorate

    monkeypatch.setattr("numba.njit", refuse)
    assert not elementwise._is_kept()  # pyright: ignore[reportPrivateUsage]
