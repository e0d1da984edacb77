"""Weights of a GGUF file: to the bit what transformers and llama.cpp's package make of them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# gguf and transformers' loading functions are only partly typed.

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, quants
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel
from transformers.integrations.gguf import reader

from bot.engine.checkpoint import gguf_bridge
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.gguf_bridge import Everything, through
from bot.engine.checkpoint.gguf_weights import PIECE, GgufWeights, is_unpacked, unpacked
from bot.engine.checkpoint.model_reading import read_model
from config.gguf_header import GgufTensor, read_gguf_header
from config.owner_models import OwnerModel, catalogue_with
from tests.gguf_file import make_qwen2, make_qwen3, write_gguf
from tests.real_weights import smollm2_folder

PACKED = [kind for kind in GGMLQuantizationType if is_unpacked(kind)]
NOT_THE_MODELS = {"quantization_config", "_name_or_path"}
"""What a configuration says of how it was loaded."""

COMMON = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"}


def random_blocks(kind: GGMLQuantizationType, weights: int) -> "np.ndarray[Any, Any]":
    each, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.random.default_rng(int(kind)).integers(0, 256, (weights // each, block_bytes))
    return blocks.astype(np.uint8)


def by_package(raw: "np.ndarray[Any, Any]", kind: GGMLQuantizationType) -> torch.Tensor:
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.array(quants.dequantize(raw, kind))).ravel()


def is_same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """To the bit; of what is no number there are many kinds."""
    return found.dtype == expected.dtype and bool(
        ((found == expected) | (found.isnan() & expected.isnan())).all()
    )


def test_every_common_quantisation_is_unpacked() -> None:
    assert {kind.name for kind in PACKED} >= COMMON


@pytest.mark.parametrize("kind", PACKED, ids=lambda kind: kind.name)
def test_blocks_of_random_bytes_are_what_the_formats_own_package_makes_of_them(
    kind: GGMLQuantizationType,
) -> None:
    raw = random_blocks(kind, PIECE)
    found = unpacked(torch.from_numpy(raw.ravel()), kind).float()
    assert is_same(found, by_package(raw, kind))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_is_read_piece_by_piece_from_its_place(tmp_path: Path, dtype: torch.dtype) -> None:
    kind, rows, row = GGMLQuantizationType.Q4_1, 5, PIECE // 2
    raw = random_blocks(kind, rows * row)
    (tmp_path / "x").write_bytes(b"before" + raw.tobytes() + b"behind")
    with (tmp_path / "x").open("rb") as opened:
        found = GgufWeights(opened, dtype).whole(GgufTensor("x", (rows, row), int(kind), 6))
    assert is_same(found, by_package(raw, kind).to(dtype).view(rows, row))


def converted(make: Callable[[Path], None], place: Path, kind: GGMLQuantizationType) -> Path:
    """The folder of a small model's GGUF file."""
    original, folder = place / "original", place / "file"
    original.mkdir()
    folder.mkdir()
    make(original)
    write_gguf(original, folder / "tiny.gguf", kind)
    return folder


def read(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    entry = catalogue_with({"mine": OwnerModel(folder=folder)}).get("mine")
    blueprint = read_blueprint(entry, folder, torch.device("cpu"), exact=True)
    return read_model(replace(blueprint, dtype=dtype), lambda _share: None)


def read_by_transformers(folder: Path, **options: object) -> PreTrainedModel:
    return cast("Any", AutoModelForCausalLM).from_pretrained(
        folder,
        gguf_file=next(folder.glob("*.gguf")).name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        **options,
    )


@pytest.fixture(scope="module")
def trained() -> PreTrainedModel:
    """As transformers loads it; only that the table of names, which never changes, is made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map))
        return read_by_transformers(smollm2_folder())


def assert_same(found: PreTrainedModel, expected: PreTrainedModel) -> None:
    weights, others = expected.state_dict(), found.state_dict()
    assert weights.keys() == others.keys()
    assert [name for name, one in weights.items() if not is_same(others[name], one)] == []
    buffers = dict(found.named_buffers())
    assert all(is_same(buffers[name], one) for name, one in expected.named_buffers())
    config, other = expected.config.to_dict(), found.config.to_dict()
    assert {key for key in config if config[key] != other.get(key)} <= NOT_THE_MODELS
    assert found.generation_config.to_dict() == expected.generation_config.to_dict()


def test_a_trained_model_is_to_the_bit_what_transformers_loads(trained: PreTrainedModel) -> None:
    folder = smollm2_folder()
    assert_same(read(folder, torch.float32), trained)
    halves = read(folder, torch.bfloat16).state_dict()
    for name, weight in trained.state_dict().items():
        assert is_same(halves[name], weight.to(torch.bfloat16)), name


@pytest.mark.parametrize("make", [make_qwen2, make_qwen3])
def test_so_is_a_model_of_other_architectures(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = converted(make, tmp_path, GGMLQuantizationType.Q4_0)
    found = read(folder, torch.float32)
    # Of Qwen3's heads transformers does not read the size.
    assert_same(found, read_by_transformers(folder, config=found.config))


def test_a_trained_tokenizer_is_what_transformers_loads() -> None:
    folder = smollm2_folder()
    file = next(folder.glob("*.gguf"))

    def load() -> Any:
        return cast("Any", AutoTokenizer).from_pretrained(folder, gguf_file=file.name)

    expected, found = load(), through(file, read_gguf_header(file, Everything()), load)
    assert found.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    assert found.special_tokens_map == expected.special_tokens_map
    assert found.chat_template == expected.chat_template


@pytest.mark.parametrize("fault", [AttributeError, TypeError])
def test_a_version_that_wants_more_than_is_served_reads_the_file_in_its_own_way(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: type[Exception],
) -> None:
    folder = converted(make_qwen2, tmp_path, GGMLQuantizationType.Q8_0)

    def unsuited(*_given: object) -> object:
        raise fault("it has changed")

    monkeypatch.setattr(gguf_bridge, "_Reader", unsuited)
    found = read(folder, torch.float32)
    assert_same(found, read_by_transformers(folder))
    assert "slower way" in caplog.text


def test_nothing_of_other_packages_stays_replaced() -> None:
    file = next(smollm2_folder().glob("*.gguf"))
    before = (gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map, reader.read_gguf_metadata)

    def fail() -> None:
        assert gguf.GGUFReader is not before[0]
        raise LookupError

    with pytest.raises(LookupError):
        through(file, read_gguf_header(file), fail)
    after = (gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map, reader.read_gguf_metadata)
    assert after == before
