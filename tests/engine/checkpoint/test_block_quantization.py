"""Models whose weights are rounded to blocks of 8 or 4 bits while they are loaded."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers' modules are only partly typed.

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bot.engine.batching.batch import tried_out
from bot.engine.checkpoint import block_quantization
from bot.engine.checkpoint.block_layers import BlockEmbedding
from bot.engine.checkpoint.block_quantization import multiplies_blocks, reduce_to_blocks
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.checkpoint.quantization import QuantizedLinear
from bot.engine.kernels.block_format import Q4_1, Q8_0
from bot.engine.kernels.block_matmul import BlockProduct
from bot.engine.kernels.packing import PackedLinear, PackedPart
from bot.engine.run_mode import Cause
from tests.checkpoints import TINY
from tests.engine.perplexity import least_ratio
from tests.real_weights import smollm2_entry, smollm2_folder

TEXT = (Path(__file__).parents[3] / "LICENSE").read_text("utf-8")

TOKENS = 600


@pytest.fixture(autouse=True)
def asked_again() -> Iterator[None]:
    """Whether blocks are multiplied is found out in the test, and again after it."""
    multiplies_blocks.cache_clear()
    yield
    multiplies_blocks.cache_clear()


def loaded(checkpoints: Mapping[str, Path], name: str, bits: int) -> Checkpoint:
    entry = TINY[name].entry(checkpoints[name], weight_bits=bits)
    blueprint = read_blueprint(entry, checkpoints[name], torch.device("cpu"), exact=False)
    return load_checkpoint(blueprint, lambda _share: None)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", TINY)
def test_models_of_every_architecture_run_as_fast_as_their_whole_weights(
    checkpoints: Mapping[str, Path], name: str, bits: int
) -> None:
    checkpoint = loaded(checkpoints, name, bits)
    mode = tried_out(checkpoint)[1]
    assert (mode.bits, mode.has_byte_states, mode.fallbacks) == (bits, True, ())
    assert mode.text.endswith(f"{bits}-bit weights and states")


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ["llama", "smollm"])
def test_the_memory_of_blocks_is_what_was_expected(
    checkpoints: Mapping[str, Path], name: str, bits: int
) -> None:
    """But for rows that are missing from the last block of outputs."""
    checkpoint = loaded(checkpoints, name, bits)
    products = {
        id(each.product): each.product
        for each in checkpoint.model.modules()
        if isinstance(each, PackedLinear | BlockEmbedding)
    }
    taken = sum(each.nbytes for each in products.values() if isinstance(each, BlockProduct))
    taken += sum(each.nbytes for each in checkpoint.model.parameters())
    assert checkpoint.blueprint.weight_bytes == pytest.approx(taken, rel=0.1)


class Small(nn.Module):
    """A model's layers, in a module that looks like a model."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {"is_encoder_decoder": True})
        self.whole = nn.Linear(32, 33)
        self.odd = nn.Linear(30, 32)
        self.self_attn = nn.Module()
        for name in ("q_proj", "k_proj", "v_proj"):
            self.self_attn.add_module(name, nn.Linear(32, 64))
        self.head = nn.Linear(32, 64)

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


def test_what_shares_its_input_is_one_product_and_odd_layers_stay_whole() -> None:
    model: Any = Small()
    states = torch.randn((2, 32))
    with torch.inference_mode():
        expected = model.self_attn.k_proj(states)
    shares: list[float] = []
    assert reduce_to_blocks(model, 8, torch.float32, shares.append)
    assert shares == [0.5, 1.0]
    assert [type(each) for each in (model.odd, model.head)] == [nn.Linear, nn.Linear]
    assert isinstance(model.self_attn.q_proj, PackedPart)
    assert model.self_attn.q_proj.whole is model.self_attn.v_proj.whole
    with torch.inference_mode():
        found = model.self_attn.k_proj(states)
    assert float((found - expected).square().sum() / expected.square().sum()) < 0.02**2


def test_the_vocabulary_of_a_tied_model_is_there_once_in_8_bits(
    checkpoints: Mapping[str, Path],
) -> None:
    model: Any = loaded(checkpoints, "smollm", 4).model
    looked_up, chosen = model.get_input_embeddings(), model.get_output_embeddings()
    assert model.config.tie_word_embeddings
    assert looked_up.product is chosen.product
    assert looked_up.product.kind is Q8_0


@pytest.mark.parametrize(("bits", "most"), [(8, 1.01), (4, 1.1)])
def test_trained_weights_bear_it(bits: int, most: float) -> None:
    """SmolLM2's perplexity of a text is hardly higher than that without rounding."""
    folder = smollm2_folder()

    def read(weight_bits: int | None, *, exact: bool) -> Checkpoint:
        entry = smollm2_entry(weight_bits=weight_bits)
        blueprint = read_blueprint(entry, folder, torch.device("cpu"), exact=exact)
        return load_checkpoint(blueprint, lambda _share: None)

    assert least_ratio(read(bits, exact=False), read(None, exact=True), TEXT, TOKENS) <= most


def test_where_blocks_are_multiplied_wrongly_states_stay_whole_and_it_is_said(
    checkpoints: Mapping[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    multiply = BlockProduct.__call__

    def off(self: BlockProduct, states: torch.Tensor) -> torch.Tensor:
        return multiply(self, states) * 1.01

    monkeypatch.setattr(BlockProduct, "__call__", off)
    with caplog.at_level(logging.WARNING):
        checkpoint = loaded(checkpoints, "llama", 4)
    assert "Q4_1 blocks are not multiplied here" in caplog.text
    assert any(isinstance(each, QuantizedLinear) for each in checkpoint.model.modules())
    mode = tried_out(checkpoint)[1]
    assert not mode.has_byte_states
    assert Cause.STATES_WHOLE in [reason.cause for reason in mode.reasons]


def test_rounding_a_piece_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(64, 50)

    def reduced() -> torch.Tensor:
        packed = block_quantization._reduced([layer], Q4_1, torch.float32)  # pyright: ignore[reportPrivateUsage]
        return torch.cat([*packed.weights()])

    at_once = reduced()
    monkeypatch.setattr(block_quantization, "PIECE", 1)
    assert torch.equal(reduced(), at_once)
