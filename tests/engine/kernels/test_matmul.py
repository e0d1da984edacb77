"""Compiled matrix products: each gives what torch's own product gives, whatever the shape."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bot.engine.kernels.matmul import FloatProduct
from bot.engine.kernels.tile import ARITHMETICS, PAIRS, Arithmetic, Numbers, arithmetic_for

FP32 = [each for each in ARITHMETICS if each.numbers is Numbers.FP32 and each.is_here]
BF16 = [each for each in ARITHMETICS if each.numbers is Numbers.BF16 and each.is_here]
INPUTS = 40


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many of torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def name(arithmetic: Arithmetic) -> str:
    return arithmetic.name


TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.01}


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("arithmetic", [*FP32, *BF16], ids=name)
@pytest.mark.parametrize("outputs", [1, 32, 50, 300])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 9, 21])
@pytest.mark.parametrize("has_bias", [False, True])
def test_fp32_and_bf16(arithmetic: Arithmetic, outputs: int, rows: int, has_bias: bool) -> None:
    dtype = torch.bfloat16 if arithmetic.numbers is Numbers.BF16 else torch.float32
    weight, states = (drawn(count, INPUTS).to(dtype) for count in (outputs, rows))
    bias = drawn(outputs).to(dtype) if has_bias else None
    expected = torch.nn.functional.linear(
        states.double(), weight.double(), None if bias is None else bias.double()
    )
    with torch.inference_mode():
        found = FloatProduct(weight, bias, arithmetic)(states)
    assert found.dtype == dtype
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("arithmetic", [*FP32, *BF16], ids=name)
def test_a_row_is_what_it_is_alone(arithmetic: Arithmetic) -> None:
    """To the last bit: sums are in the same order whichever rows are beside it."""
    dtype = torch.bfloat16 if arithmetic.numbers is Numbers.BF16 else torch.float32
    product = FloatProduct(drawn(70, INPUTS).to(dtype), None, arithmetic)
    states = drawn(17, INPUTS, seed=2).to(dtype)
    with torch.inference_mode():
        alone = torch.cat([product(row[None]) for row in states])
        for count in (2, 3, 6, 9, 17):
            assert torch.equal(product(states[:count]), alone[:count])


@pytest.mark.parametrize("arithmetic", BF16, ids=name)
def test_states_of_any_form_are_taken(arithmetic: Arithmetic) -> None:
    weight = drawn(32, INPUTS).to(torch.bfloat16)
    product = FloatProduct(weight, None, arithmetic)
    states = drawn(INPUTS, 6).to(torch.bfloat16).T
    with torch.inference_mode():
        assert torch.equal(product(states), product(states.contiguous()))
        assert product(states.reshape(2, 3, INPUTS)).shape == (2, 3, 32)
        assert product(states[:0]).shape == (0, 32)


def test_inputs_that_do_not_divide_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="7 inputs"):
        FloatProduct(torch.ones(32, 7, dtype=torch.bfloat16), None, PAIRS)


def test_a_processor_is_not_asked_for_what_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.engine.kernels import tile

    monkeypatch.setattr(tile.binding, "get_host_cpu_features", dict)
    for numbers in Numbers:
        with pytest.raises(NotImplementedError):
            arithmetic_for(numbers)


def test_the_next_process_finds_what_was_compiled(tmp_path: Path) -> None:
    script = (
        "import torch\n"
        "from bot.engine.kernels.matmul import FloatProduct\n"
        "weight = torch.ones(32, 40, dtype=torch.bfloat16)\n"
        "assert FloatProduct(weight, None)(weight[:3])[0, 0] == 40\n"
    )
    kept: list[set[Path]] = []
    for _process in range(2):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)
        kept.append({file for file in tmp_path.rglob("*") if file.is_file()})
    assert kept[0]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("arithmetic", [each for each in FP32 + BF16 if each.takes_fp32], ids=name)
def test_an_odd_number_of_inputs(arithmetic: Arithmetic) -> None:
    dtype = torch.bfloat16 if arithmetic.numbers is Numbers.BF16 else torch.float32
    weight, states = (drawn(count, 7).to(dtype) for count in (33, 3))
    with torch.inference_mode():
        found = FloatProduct(weight, None, arithmetic)(states)
    expected = (states.double() @ weight.double().T).to(dtype)
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("arithmetic", [*FP32, *BF16], ids=name)
def test_states_of_another_precision_are_refused(arithmetic: Arithmetic) -> None:
    is_half = arithmetic.numbers is Numbers.BF16
    own, other = (torch.bfloat16, torch.float32) if is_half else (torch.float32, torch.bfloat16)
    with pytest.raises(RuntimeError, match="states are"):
        FloatProduct(drawn(32, INPUTS).to(own), None, arithmetic)(drawn(2, INPUTS).to(other))


@pytest.mark.parametrize("arithmetic", [*FP32, *BF16], ids=name)
def test_what_is_no_number_stays_none_and_in_its_row(arithmetic: Arithmetic) -> None:
    dtype = torch.bfloat16 if arithmetic.numbers is Numbers.BF16 else torch.float32
    states = drawn(3, INPUTS).to(dtype)
    states[1, 5] = torch.nan
    with torch.inference_mode():
        found = FloatProduct(drawn(32, INPUTS).to(dtype), None, arithmetic)(states)
    are_numbers = [not bool(row.isnan().any()) for row in found]
    assert are_numbers == [True, False, True]
