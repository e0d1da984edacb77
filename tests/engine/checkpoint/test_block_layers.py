"""Models whose matrices stay in the blocks of their GGUF file."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch and transformers' modules are only partly typed.

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bot.engine.batching.batch import tried_out
from bot.engine.checkpoint import block_layers
from bot.engine.checkpoint.block_layers import BlockEmbedding
from bot.engine.checkpoint.blueprint import Blueprint, read_blueprint
from bot.engine.checkpoint.files import DamagedCheckpoint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.kernels.block_format import Q4_0, Q4_1, Q4_K, Q6_K, Q8_0, BlockFormat
from bot.engine.kernels.block_matmul import BlockProduct
from bot.engine.kernels.block_reading import Bytes
from bot.engine.kernels.packing import PackedLinear
from config.catalogue import Family
from tests.checkpoints import Tiny
from tests.engine.perplexity import least_ratio
from tests.gguf_file import KIND_F32, make_wide_llama, random_blocks, write_gguf
from tests.real_weights import smollm2_entry, smollm2_folder

TEXT = Path(__file__).parents[3] / "LICENSE"
"""A long text that is not made for this."""

TOKENS = 600

WIDE_LLAMA = Tiny("wide llama", Family.CHAT, 256, make_wide_llama)


def blueprint_of_smollm2(*, exact: bool = False) -> Blueprint:
    cpu = torch.device("cpu")
    return read_blueprint(smollm2_entry(), smollm2_folder(), cpu, exact=exact)


def loaded(blueprint: Blueprint) -> Checkpoint:
    return load_checkpoint(blueprint, lambda _share: None)


@pytest.fixture(scope="module")
def smollm2() -> Checkpoint:
    return loaded(blueprint_of_smollm2())


def in_blocks(checkpoint: Checkpoint) -> list[BlockProduct]:
    """Each product by blocks once, whoever multiplies by it or looks up its rows."""
    found: dict[int, BlockProduct] = {}
    for module in checkpoint.model.modules():
        product = getattr(module, "product", None)
        if isinstance(module, PackedLinear | BlockEmbedding) and isinstance(product, BlockProduct):
            found[id(product)] = product
    return [*found.values()]


def test_no_tensor_holds_an_unpacked_copy_of_a_matrix_in_blocks(smollm2: Checkpoint) -> None:
    model: Any = smollm2.model
    sizes = model.config
    matrices = sizes.num_hidden_layers * 4 + 1  # queries, keys and values are one; gates and ups
    products = in_blocks(smollm2)
    assert len(products) == matrices
    whole = [*model.parameters(), *model.buffers()]
    assert sum(each.untyped_storage().nbytes() for each in whole) < 1 << 20
    assert model.get_input_embeddings().product is model.get_output_embeddings().product
    kept = sum(product.nbytes for product in products)
    norms = (2 * sizes.num_hidden_layers + 1) * sizes.hidden_size
    assert kept + norms * smollm2.blueprint.dtype.itemsize == smollm2.blueprint.weight_bytes


def test_a_model_in_blocks_runs_batched_with_kernels(smollm2: Checkpoint) -> None:
    _batch, mode = tried_out(smollm2)
    assert (mode.is_batched, mode.has_kernels, mode.fallbacks) == (True, True, ())
    assert (mode.blocks, mode.unpacked) == ("Q4_1, Q8_0", "")


def test_a_texts_perplexity_is_a_hundredth_above_that_of_unpacked_weights_at_most(
    smollm2: Checkpoint,
) -> None:
    whole = loaded(blueprint_of_smollm2(exact=True))
    assert least_ratio(smollm2, whole, TEXT.read_text("utf-8"), TOKENS) <= 1.01


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that mixes formats as Q4_K_M does, with values of another kind than queries."""
    original, folder = (tmp_path_factory.mktemp(name) for name in ("original", "mixed"))
    make_wide_llama(original)
    kinds = {"attn_v": Q6_K, "ffn_down": Q6_K, "attn_": Q4_K, "ffn_": Q4_K, "token_embd": Q8_0}
    write_gguf(original, folder / "mixed.gguf", KIND_F32, kinds)
    return folder


def test_a_file_of_k_blocks_gives_what_its_unpacked_weights_give(mixed_folder: Path) -> None:
    """Bytes lose about a 250th of a state; more than ten times that is another function."""
    entry, ids = WIDE_LLAMA.entry(mixed_folder), torch.arange(3, 60)[None]
    logits: list[torch.Tensor] = []
    for exact in (True, False):
        blueprint = read_blueprint(entry, mixed_folder, torch.device("cpu"), exact=exact)
        checkpoint = loaded(blueprint)
        kinds = {each.kind for each in in_blocks(checkpoint)}
        assert kinds == (set() if exact else {Q4_K, Q6_K, Q8_0})
        with torch.inference_mode():
            logits.append(checkpoint.model(input_ids=ids).logits.double())
    whole, blocks = logits
    assert float((blocks - whole).norm()) <= 0.05 * float(whole.norm())
    mode = tried_out(checkpoint)[1]
    assert (mode.fallbacks, mode.blocks) == ((), "Q4_K, Q6_K, Q8_0")


def test_an_output_layer_of_its_own_stays_in_blocks_beside_the_vocabulary(tmp_path: Path) -> None:
    original = tmp_path / "original"
    make_wide_llama(original, is_tied=False)
    kinds = {"token_embd": Q4_0, "output.weight": Q6_K, "attn_": Q4_1}
    write_gguf(original, tmp_path / "untied.gguf", KIND_F32, kinds)
    file = tmp_path / "untied.gguf"
    checkpoint = loaded(
        read_blueprint(WIDE_LLAMA.entry(file), file, torch.device("cpu"), exact=False)
    )
    assert {each.kind for each in in_blocks(checkpoint)} == {Q4_0, Q4_1, Q6_K}
    model: Any = checkpoint.model
    assert model.get_input_embeddings().product is not model.get_output_embeddings().product


def swapped_halves(raw: Bytes, kind: BlockFormat) -> None:
    """Each byte's two codes change places."""
    codes = slice(4, 20) if kind is Q4_1 else slice(16, 144)
    blocks = raw.reshape(len(raw), -1, kind.raw_bytes)
    blocks[..., codes] = blocks[..., codes] >> 4 | blocks[..., codes] << 4


def neighbours_scale(raw: Bytes, kind: BlockFormat) -> None:
    """Each block has the next one's scale."""
    blocks = raw.reshape(len(raw), -1, kind.raw_bytes)
    blocks[..., :2] = np.roll(blocks[..., :2], 1, axis=1)


def wrong_minimum(raw: Bytes, kind: BlockFormat) -> None:
    """Each minimum has the other sign."""
    blocks = raw.reshape(len(raw), -1, kind.raw_bytes)
    blocks[..., 3] ^= 0x80


def rows_off_by_one(raw: Bytes, _kind: BlockFormat) -> None:
    """Each output has the weights of the one before."""
    raw[:] = np.roll(raw, 1, axis=0)


PLANTED = (swapped_halves, neighbours_scale, wrong_minimum, rows_off_by_one)


@pytest.mark.parametrize("kind", [Q4_1, Q4_K], ids=lambda kind: kind.name)
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_matrix_that_is_laid_out_wrongly_is_noticed_while_it_is_loaded(
    kind: BlockFormat, plant: Callable[[Bytes, BlockFormat], None]
) -> None:
    raw = random_blocks(kind, 24, 512)
    right = BlockProduct.of(raw, kind)
    block_layers.check(right, 0, raw)
    spoilt = raw.copy()
    plant(spoilt, kind)
    with pytest.raises(ValueError, match="not read as GGML reads them"):
        block_layers.check(BlockProduct.of(spoilt, kind), 0, raw)


@pytest.mark.parametrize("kind", [Q4_1, Q8_0, Q6_K], ids=lambda kind: kind.name)
def test_a_kernel_that_multiplies_wrongly_is_noticed_while_a_model_is_loaded(
    kind: BlockFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked up is right; only the products are those of another row."""
    raw = random_blocks(kind, 24, 512)
    product = BlockProduct.of(raw, kind)
    multiply = BlockProduct.__call__

    def off(self: BlockProduct, states: torch.Tensor) -> torch.Tensor:
        return multiply(self, states).roll(1, dims=-1)

    monkeypatch.setattr(BlockProduct, "__call__", off)
    with pytest.raises(ValueError, match="multiplies it wrongly"):
        block_layers.check(product, 0, raw)


def test_a_file_with_a_scale_that_is_not_a_number_is_refused_in_a_line(
    tmp_path: Path, mixed_folder: Path
) -> None:
    file = tmp_path / "spoilt.gguf"
    content = bytearray((mixed_folder / "mixed.gguf").read_bytes())
    blueprint = read_blueprint(
        WIDE_LLAMA.entry(mixed_folder), mixed_folder, torch.device("cpu"), exact=False
    )
    header: Any = blueprint.weights.header
    tensor = next(each for each in header.tensors if "ffn_up" in each.name)
    content[tensor.start : tensor.start + 2] = np.float16("nan").tobytes()
    file.write_bytes(content)
    spoilt = read_blueprint(WIDE_LLAMA.entry(file), file, torch.device("cpu"), exact=False)
    with pytest.raises(DamagedCheckpoint) as raised:
        loaded(spoilt)
    assert str(raised.value) == f"{tensor.name} cannot be used: a scale is not a number"
