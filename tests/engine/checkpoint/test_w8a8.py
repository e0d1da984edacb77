"""Models whose weights and states are both bytes: which layers, and when states stay whole."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bot.engine.batching.batch import batch_for
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint import blueprint as opening
from bot.engine.checkpoint import loading, w8a8
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.checkpoint.quantization import Int8Linear
from bot.engine.checkpoint.w8a8 import (
    ByteProduct,
    bears_bytes,
    has_bytes,
    multiplies_bytes,
    reduce_to_bytes,
)
from bot.engine.kernels.packing import PackedLinear
from bot.engine.kernels.tile import BYTES, SHORT_BYTES
from tests.checkpoints import TINY
from tests.engine.checkpoint.test_quantization import layer, lost, rows
from tests.engine.engines import packed
from tests.engine.forward.test_fused import is_fused

pytestmark = pytest.mark.skipif(
    not any(each.is_here for each in (BYTES, SHORT_BYTES)),
    reason="this processor does not multiply bytes",
)


@pytest.fixture(autouse=True)
def tried_anew() -> Iterator[None]:
    """Whether bytes are multiplied is found out in the test, and again after it."""
    multiplies_bytes.cache_clear()
    yield
    multiplies_bytes.cache_clear()


def loaded(checkpoints: Mapping[str, Path], name: str, *, exact: bool = False) -> Checkpoint:
    """A small checkpoint of one architecture with weights of 8 bits."""
    folder = checkpoints[name]
    entry = TINY[name].entry(folder, weight_bits=8)
    blueprint = read_blueprint(entry, folder, torch.device("cpu"), exact=exact)
    return loading.load_checkpoint(blueprint, lambda _share: None)


def kinds(model: nn.Module) -> set[type]:
    """What a model's linear layers multiply by, those of the output layer and of bf16 aside."""
    found: set[type] = set()
    for each in model.modules():
        product = each.product if isinstance(each, PackedLinear) else each
        if isinstance(product, (ByteProduct, Int8Linear)):
            found.add(type(product))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_bias", [False, True])
def test_little_is_lost(dtype: torch.dtype, has_bias: bool) -> None:
    plain = layer(dtype, bias=has_bias)
    product = ByteProduct(plain.weight.detach(), plain.bias)
    with torch.inference_mode():
        found, expected = product(rows(5, dtype)), plain(rows(5, dtype))
        whole = product.with_whole_states(dtype)(rows(5, dtype))
        layers: list[None] = []
        product.on_whole = lambda: layers.append(None)
        again = product(rows(5, dtype))
    assert len(layers) == 1
    assert lost(again, whole) < 0.01
    assert found.dtype == whole.dtype == dtype
    assert lost(whole, expected) < 0.01
    assert 1e-4 < lost(found, whole) < 0.012


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("is_half", [False, True])
def test_models_of_every_architecture_go_through_their_batch(
    checkpoints: Mapping[str, Path], name: str, is_half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=is_half))
    # Weights that are drawn wide make much of little.
    monkeypatch.setattr(w8a8, "LOGITS_TOLERANCE", 10)
    made = loaded(checkpoints, name)
    assert has_bytes(made.model)
    assert made.kernel.endswith("8-bit weights and states")
    assert kinds(made.model) == {ByteProduct}
    assert is_fused(batch_for(made))


def test_exact_rows_keep_their_states(checkpoints: Mapping[str, Path]) -> None:
    made = loaded(checkpoints, "llama", exact=True)
    assert not has_bytes(made.model)
    assert kinds(made.model) == {Int8Linear}


def test_the_output_layer_stays_and_what_shares_its_input_is_one_product() -> None:
    model: Any = Small()
    told: list[float] = []
    assert reduce_to_bytes(model, torch.bfloat16, told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert type(model.head) is nn.Linear
    assert model.head.weight.dtype is torch.bfloat16
    assert model.self_attn.q_proj.whole is model.self_attn.v_proj.whole
    states = rows(3)[:, :32].to(torch.bfloat16)
    with torch.inference_mode():
        assert model.self_attn.v_proj(states).shape == (3, 64)
        assert model.odd(states).shape == (3, 33)


class Small(nn.Module):
    """A model's layers, in a module that looks like a model."""

    def __init__(self, inputs: int = 32) -> None:
        super().__init__()
        self.odd = nn.Linear(32, 33)
        self.inner = nn.Sequential(nn.Linear(inputs, 32))
        self.self_attn = nn.Module()
        for name in ("q_proj", "k_proj", "v_proj"):
            self.self_attn.add_module(name, nn.Linear(32, 64))
        self.self_attn.o_proj = nn.Linear(32, 32)
        self.head = nn.Linear(32, 64)

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


def test_a_model_with_a_layer_that_cannot_be_bytes_is_left_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model: Any = Small(inputs=30)
    with caplog.at_level(logging.WARNING):
        assert not reduce_to_bytes(model, torch.float32, lambda _share: None)
    assert type(model.odd) is nn.Linear
    assert "whole states instead of bytes" in caplog.text


def test_a_kernel_that_gives_something_else_is_not_taken(
    checkpoints: Mapping[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    right = ByteProduct.__call__

    def wrong(self: ByteProduct, states: torch.Tensor) -> torch.Tensor:
        return right(self, states) * 1.1

    monkeypatch.setattr(ByteProduct, "__call__", wrong)
    with caplog.at_level(logging.WARNING):
        made = loaded(checkpoints, "llama")
    assert kinds(made.model) == {Int8Linear}
    assert "states stay whole here" in caplog.text


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_a_model_that_bytes_would_change_keeps_its_states(
    checkpoints: Mapping[str, Path],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(w8a8, "LOGITS_TOLERANCE", 1e-5)
    with caplog.at_level(logging.WARNING):
        made = loaded(checkpoints, name)
    assert not has_bytes(made.model)
    assert kinds(made.model) == {Int8Linear}
    assert "keeps its states whole" in caplog.text
    assert isinstance(batch_for(made), SlotBatch)


def test_states_that_are_large_in_few_places_are_noticed() -> None:
    """One state that is much larger than the others takes all of a byte's steps for itself."""
    packed = PackedLinear(ByteProduct, layer())
    model = nn.Sequential(packed)
    states = rows(4)
    assert bears_bytes(model, lambda: packed(states), lambda: None)
    states[:, 7] = 500
    assert isinstance(packed.product, ByteProduct)
    with torch.inference_mode():
        large = packed.product.with_whole_states(torch.float32)(states * (states == 500))
    assert not bears_bytes(model, lambda: packed(states) - large, lambda: None)
