"""Packed linear layers: the products of plain ones, chosen by measurement, with a way back."""

import logging
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import nn

from bench.loading_memory import own_bytes
from bot.engine.batching.batch import batch_for
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint import blueprint as opening
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import load_checkpoint
from bot.engine.kernels import packing
from bot.engine.kernels.packing import (
    Pack,
    PackedLinear,
    PackedPart,
    PackedProduct,
    Product,
    by_compiled,
    by_onednn,
    is_packed_faster,
    joined,
    pack,
    working,
)
from bot.engine.machine.memory import return_freed_memory
from config.catalogue import ModelEntry
from tests.checkpoints import TINY
from tests.engine.engines import folder_of, packed


def linear(bias: bool, dtype: torch.dtype = torch.bfloat16) -> nn.Linear:
    made = nn.Linear(48, 32, bias=bias)
    with torch.inference_mode():
        made.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
    return made.to(dtype)


def ignore(_fraction: float) -> None:
    pass


@pytest.mark.parametrize("way", [by_onednn, by_compiled])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(48,), (1, 48), (3, 5, 48), (16, 1, 48)])
def test_a_packed_layer_gives_the_plain_layers_product(
    way: Pack, dtype: torch.dtype, bias: bool, shape: tuple[int, ...]
) -> None:
    plain = linear(bias, dtype)
    if dtype is torch.bfloat16 and working(way, plain.weight) is None:
        # oneDNN packs bf16 only on processors with AVX-512 or AVX-NE-CONVERT.
        assert way is by_onednn
        assert not pack_with(way, plain)
        return
    states = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        found = PackedLinear(way, plain)(states)
        torch.testing.assert_close(found, plain(states), atol=2e-2, rtol=2e-2)


def pack_with(way: Pack, layer: nn.Linear) -> bool:
    """Whether a model of one layer is packed where this way is the fastest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "fastest", {layer.weight.dtype: way}.get)
        return pack(nn.Sequential(layer), layer.weight.dtype, ignore)


@pytest.mark.parametrize("way", [by_onednn, by_compiled])
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_layer_says_what_it_multiplies_by(way: Pack, bias: bool) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        plain, other = linear(bias, dtype), linear(bias, dtype)
        if dtype is torch.float32 or working(way, plain.weight) is not None:
            packed_layer = PackedLinear(way, plain, other)
            assert torch.equal(torch.cat([*packed_layer.weights()]), plain.weight.repeat(2, 1))
            told = packed_layer.bias
            assert (told is not None) == bias
            assert told is None or torch.equal(told.to(dtype), torch.cat([plain.bias, other.bias]))


def test_packing_replaces_every_bf16_layer_and_tells_how_far_it_is() -> None:
    model = nn.Sequential(linear(False), nn.Sequential(linear(True)), linear(True, torch.float32))
    told: list[float] = []
    assert pack(model, torch.bfloat16, told.append)
    assert isinstance(model[0], PackedLinear)
    assert type(model[2]) is nn.Linear
    assert told == [0.5, 1.0]
    assert not pack(nn.Sequential(linear(True, torch.float32)), torch.bfloat16, ignore)


class Attention(nn.Module):
    """Layers under the names that share their input."""

    def __init__(self, has_bias: bool) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (linear(has_bias) for _ in range(3))
        self.o_proj = linear(has_bias)


@pytest.mark.parametrize("has_bias", [False, True])
def test_layers_that_share_their_input_are_one_product(
    has_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.ModuleDict({"self_attn": Attention(has_bias), "attention": Attention(has_bias)})
    own, other = (model[name] for name in ("self_attn", "attention"))
    names = ("q_proj", "k_proj", "v_proj")
    plain = [getattr(own, name) for name in names]
    with torch.inference_mode():
        for weight, layer in enumerate(plain):
            layer.weight.mul_(1 + weight)
    assert pack(model, torch.bfloat16, ignore)
    assert all(isinstance(getattr(other, name), PackedLinear) for name in names)
    parts = [getattr(own, name) for name in names]
    assert all(isinstance(part, PackedPart) for part in parts)
    multiply = packing._multiply  # pyright: ignore[reportPrivateUsage]
    products: list[int] = []

    def counted(product: Product, states: torch.Tensor) -> torch.Tensor:
        products.append(1)
        return multiply(product, states)

    monkeypatch.setattr(packing, "_multiply", counted)
    for seed in (1, 2):
        states = torch.randn((3, 48), generator=torch.Generator().manual_seed(seed))
        states = states.to(torch.bfloat16)
        with torch.inference_mode():
            given = [part(states) for part in parts]
            expected = [layer(states) for layer in plain]
            torch.testing.assert_close(given, expected, atol=2e-2, rtol=2e-2)
            torch.testing.assert_close(joined(parts)(states), torch.cat(expected, dim=-1),
                                       atol=2e-2, rtol=2e-2)  # fmt: skip
    assert len(products) == 4
    some = torch.ones(3, 48, dtype=torch.bfloat16)
    assert joined(plain)(some).shape == (3, 96)
    assert joined(parts[:2])(some).shape == (3, 64)


def test_no_layer_is_there_twice_for_longer_than_it_is_packed() -> None:
    """Where weights are not read from the file as they are needed."""
    # Compiling the kernel takes memory of its own.
    assert pack(nn.Sequential(linear(False)), torch.bfloat16, lambda _share: None)
    # Once 31 MiB were freed, glibc keeps what is smaller for what comes next.
    torch.empty(31 << 20, dtype=torch.uint8)
    model = nn.Sequential(*(nn.Linear(1024, 2048, dtype=torch.bfloat16) for _ in range(12)))
    taken: list[int] = []
    return_freed_memory()
    before = own_bytes()
    assert pack(model, torch.bfloat16, lambda _share: taken.append(own_bytes() - before))
    assert max(taken) < 4 * 1024 * 2048 * torch.bfloat16.itemsize


def test_a_kernel_that_gives_something_else_leaves_the_layers_plain_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    multiply = packing._multiply  # pyright: ignore[reportPrivateUsage]

    def wrong(product: Product, states: torch.Tensor) -> torch.Tensor:
        return multiply(product, states) * 1.1

    model = nn.Sequential(linear(False))
    monkeypatch.setattr(packing, "_multiply", wrong)
    with caplog.at_level(logging.WARNING):
        assert not pack(model, torch.bfloat16, ignore)
    assert type(model[0]) is nn.Linear
    assert "plain layers instead of packed" in caplog.text


@pytest.fixture
def measured_anew() -> Iterator[None]:
    """What this machine is fastest with is measured in the test, and again after it."""
    packing.fastest.cache_clear()
    yield
    packing.fastest.cache_clear()


def missing(_weight: torch.Tensor, _bias: torch.Tensor | None) -> PackedProduct:
    raise AttributeError("no such operator")


@pytest.mark.usefixtures("measured_anew")
def test_a_machine_without_kernels_leaves_the_layers_plain_and_it_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for way in ("by_onednn", "by_compiled"):
        monkeypatch.setattr(packing, way, missing)
    with caplog.at_level(logging.WARNING):
        assert not pack(nn.Sequential(linear(False)), torch.bfloat16, ignore)
        assert not is_packed_faster(torch.bfloat16)
    assert "packed bfloat16 does not work here" in caplog.text


def taking(times: Mapping[int, float]) -> Pack:
    """A way to multiply that takes so long for so many rows, to what fp32 takes."""

    class Taking:
        def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
            self._weight, self.bias = weight, bias

        def __call__(self, states: torch.Tensor) -> torch.Tensor:
            return states * times[max(1, states.shape[0])]

        def weights(self) -> Iterator[torch.Tensor]:
            yield self._weight

    return Taking


FAST = {1: 0.3, 16: 0.4, 64: 0.5}
GOOD_FOR_FEW = {1: 0.2, 16: 0.5, 64: 1.6}
LEVEL = {1: 0.9, 16: 1.2, 64: 1.3}
SLOW = {1: 1.3, 16: 1.3, 64: 1.3}


@pytest.mark.usefixtures("measured_anew")
@pytest.mark.parametrize(
    ("onednn", "compiled", "chosen"),
    [
        (FAST, FAST, "by_compiled"),
        (FAST, GOOD_FOR_FEW, "by_onednn"),
        (SLOW, FAST, "by_compiled"),
        (SLOW, SLOW, None),
        (FAST, None, "by_onednn"),
        (None, GOOD_FOR_FEW, "by_compiled"),
        (None, LEVEL, "by_compiled"),
        (None, SLOW, None),
    ],
)
def test_what_takes_the_least_for_few_rows_and_many_multiplies(
    onednn: Mapping[int, float] | None,
    compiled: Mapping[int, float] | None,
    chosen: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, times in (("by_onednn", onednn), ("by_compiled", compiled)):
        monkeypatch.setattr(packing, name, missing if times is None else taking(times))

    def told(plain: Callable[[], object], *others: Callable[[], torch.Tensor]) -> list[float]:
        # The way multiplies by what it takes.
        return [1.0, *(float((other() / other.args[0]).nanmean()) for other in others)]  # pyright: ignore[reportFunctionMemberAccess]

    monkeypatch.setattr(packing, "_shortest_s", told)
    found = packing.fastest(torch.bfloat16)
    assert found is (None if chosen is None else getattr(packing, chosen))


@pytest.mark.parametrize("name", TINY)
def test_a_packed_model_goes_through_its_batch_as_through_itself(
    entries: Mapping[str, ModelEntry], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=True))
    entry = entries[name]
    blueprint = read_blueprint(entry, folder_of(entry), torch.device("cpu"), exact=False)
    loaded = load_checkpoint(blueprint, ignore)
    assert loaded.kernel == "packed bf16"
    assert isinstance(batch_for(loaded), SlotBatch)
    exact = read_blueprint(entry, folder_of(entry), torch.device("cpu"), exact=True)
    assert load_checkpoint(exact, ignore).kernel.endswith("fp32")
    sizes = blueprint.weight_bytes, exact.weight_bytes
    assert sizes[0] < sizes[1]


def test_the_size_that_is_told_covers_the_matrix_that_is_packed_beside_its_embeddings(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entries["smollm"]
    sizes: list[int] = []
    for is_faster in (True, False):
        monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=is_faster))
        blueprint = read_blueprint(entry, folder_of(entry), torch.device("cpu"), exact=False)
        sizes.append(blueprint.weight_bytes)
    smaller, plain = sizes
    vocabulary = blueprint.config.vocab_size * blueprint.config.hidden_size
    assert smaller == plain // 2 + 2 * vocabulary
