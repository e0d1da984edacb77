"""Linear layers with weights of 8 and 4 bits, and models made of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from bench.loading_memory import own_bytes
from bot.engine.checkpoint import blueprint as opening
from bot.engine.checkpoint import quantization
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import load_checkpoint
from bot.engine.checkpoint.quantization import (
    BLOCK,
    GROUP,
    Int4Linear,
    Int8Linear,
    QuantizedLinear,
    quantize,
)
from bot.engine.machine.memory import return_freed_memory
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import MakeEngine, packed
from tests.engine.reading import read, request_for

LOSS: dict[type[QuantizedLinear], float] = {Int8Linear: 0.01, Int4Linear: 0.12}
"""The largest share of an output's norm that may be lost with normal weights."""

DTYPES = (torch.float32, torch.bfloat16)


def layer(dtype: torch.dtype = torch.float32, *, bias: bool = False) -> nn.Linear:
    made = nn.Linear(4 * GROUP, 3 * BLOCK, bias=bias, dtype=dtype)
    with torch.no_grad():
        made.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
    return made


def rows(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    drawn = torch.randn(count, 4 * GROUP, generator=torch.Generator().manual_seed(5))
    return drawn.to(dtype)


def lost(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The difference as a share of what is expected."""
    return _norm(found - expected) / _norm(expected)


def _norm(values: torch.Tensor) -> float:
    return float(values.float().square().sum().sqrt())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", LOSS)
@pytest.mark.parametrize("count", [1, 4, 100])
def test_little_is_lost(kind: type[QuantizedLinear], dtype: torch.dtype, count: int) -> None:
    plain = layer(dtype, bias=True)
    with torch.inference_mode():
        found, expected = kind(plain)(rows(count, dtype)), plain(rows(count, dtype))
    assert found.shape == expected.shape
    assert found.dtype == dtype
    assert lost(found, expected) < LOSS[kind]


@pytest.mark.parametrize("kind", LOSS)
def test_a_row_does_not_depend_on_the_rows_beside_it(kind: type[QuantizedLinear]) -> None:
    made = kind(layer())
    together = torch.cat([rows(3), 1000 * rows(3)])
    with torch.inference_mode():
        alone, beside = made(rows(3)), made(together)[:3]
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=1e-5)


def test_weights_of_one_value_and_of_none_survive() -> None:
    plain = layer()
    with torch.no_grad():
        plain.weight.fill_(0.25)
        plain.weight[0] = 0
    for kind in LOSS:
        with torch.inference_mode():
            assert lost(kind(plain)(rows(2)), plain(rows(2))) < 0.01


def test_shapes_of_any_depth_are_kept() -> None:
    batch = rows(6).view(2, 3, -1)
    with torch.inference_mode():
        for kind in LOSS:
            assert kind(layer())(batch).shape == (2, 3, 3 * BLOCK)


class Small(nn.Module):
    """A model's layers, in a module that looks like a model."""

    def __init__(self) -> None:
        super().__init__()
        self.even = nn.Linear(GROUP, BLOCK)
        self.odd = nn.Linear(GROUP + 8, BLOCK)
        self.inner = nn.Sequential(nn.Linear(GROUP, BLOCK + 1))
        self.head = nn.Linear(GROUP, BLOCK)

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


@pytest.mark.parametrize("kind", LOSS)
def test_how_many_weights_are_reduced_at_a_time_changes_nothing(
    kind: type[QuantizedLinear], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = kind(layer()).state_dict()
    monkeypatch.setattr(quantization, "FEW_WEIGHTS", 1)
    in_blocks = kind(layer()).state_dict()
    assert all(torch.equal(at_once[name], in_blocks[name]) for name in at_once)


def test_every_linear_layer_but_the_output_is_replaced() -> None:
    model: Any = Small()
    quantize(model, 4)
    replaced: list[object] = [model.even, model.odd, model.inner[0], model.head]
    kinds = [Int4Linear, Int8Linear, Int8Linear, nn.Linear]
    assert list(map(type, replaced)) == kinds


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", TINY)
async def test_a_model_of_every_family_answers_with_fewer_bits(
    make_engine: MakeEngine, checkpoints: Mapping[str, Path], name: str, bits: int
) -> None:
    entries = {
        key: TINY[name].entry(checkpoints[name], name=key, weight_bits=chosen)
        for key, chosen in (("whole", None), ("reduced", bits))
    }
    engine = make_engine(entries=entries)
    for key in entries:
        assert (await read(engine, request_for(key, PROMPTS[0]))).finished.error is None
    whole, reduced = engine.resident()
    assert reduced.weight_bytes < whole.weight_bytes
    assert whole.mode is not None
    assert reduced.mode is not None
    assert (whole.mode.precision, whole.mode.bits) == ("fp32", None)
    assert (reduced.mode.precision, reduced.mode.bits) == ("fp32", bits)
    assert not reduced.mode.has_byte_states


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ["llama", "smollm"])
def test_the_memory_is_what_was_expected(
    checkpoints: Mapping[str, Path], name: str, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where heads are small: what 4 bits cannot hold takes 8, so that it may be a fifth more."""
    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=False))
    entry = TINY[name].entry(checkpoints[name], weight_bits=bits)
    blueprint = read_blueprint(entry, checkpoints[name], torch.device("cpu"), exact=True)
    model = load_checkpoint(blueprint, lambda _share: None).model
    tensors = {one.data_ptr(): one for one in (*model.parameters(), *model.buffers())}
    taken = sum(one.numel() * one.element_size() for one in tensors.values())
    assert blueprint.weight_bytes == pytest.approx(taken, rel=0.2)


MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory, checkpoints: Mapping[str, Path]) -> Path:
    """A checkpoint of 80 MiB in bf16: 160 in fp32, about 30 with 4 bits."""
    folder = tmp_path_factory.mktemp("halves")
    config = LlamaConfig(
        vocab_size=2048, hidden_size=512, intermediate_size=2048, num_hidden_layers=10,
        num_attention_heads=8, max_position_embeddings=256, tie_word_embeddings=True,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (source := checkpoints["llama"] / name).is_file():
            (folder / name).write_bytes(source.read_bytes())
    return folder


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("exact", [True, False])
def test_the_whole_weights_are_never_in_memory(
    halves: Path, checkpoints: Mapping[str, Path], bits: int, exact: bool
) -> None:
    """Exact mode computes in fp32: the stored halves are not turned into it to be reduced.

    A small model is loaded first, since compiling the kernels takes memory of its own.
    """
    folder = checkpoints["llama"]
    small = TINY["llama"].entry(folder, weight_bits=bits)
    first = read_blueprint(small, folder, torch.device("cpu"), exact=exact)
    load_checkpoint(first, lambda _share: None)
    entry = TINY["llama"].entry(halves, weight_bits=bits)
    blueprint = read_blueprint(entry, halves, torch.device("cpu"), exact=exact)
    shares: list[float] = []
    taken: list[int] = []
    return_freed_memory()
    before = own_bytes()

    def on_piece(share: float) -> None:
        shares.append(share)
        taken.append(own_bytes() - before)

    model = load_checkpoint(blueprint, on_piece).model
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert max(taken) < blueprint.weight_bytes + 20 * MEBIBYTE
    assert max(taken) < blueprint.loading_bytes
    floating = [one for one in model.state_dict().values() if one.is_floating_point()]
    assert {one.dtype for one in floating} == {blueprint.dtype}
