"""Checkpoints on disk: measured without loading, damage found before it costs anything."""

import json
import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from bot.engine.checkpoint.files import DamagedCheckpoint, inspect_weights
from bot.engine.machine.memory import available_bytes, return_freed_memory
from tests.engine.engines import load_tensors


@pytest.fixture
def folder(checkpoints: Mapping[str, Path], tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be damaged."""
    return Path(shutil.copytree(checkpoints["smollm"], tmp_path / "copy"))


def test_sizes_are_those_of_the_tensors(folder: Path) -> None:
    tensors = load_tensors(folder / "model.safetensors").values()
    weights = inspect_weights(folder)
    assert weights.elements == sum(tensor.numel() for tensor in tensors)
    assert weights.stored_bytes == sum(t.numel() * t.element_size() for t in tensors)
    assert weights.dtype == "F32"
    assert weights.is_safetensors


def test_torchs_own_format_is_measured_by_its_files(folder: Path) -> None:
    torch.save(load_tensors(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    weights = inspect_weights(folder)
    assert weights.stored_bytes == (folder / "pytorch_model.bin").stat().st_size
    assert not weights.is_safetensors


def test_shards_are_counted_together_and_a_lost_one_is_found(folder: Path) -> None:
    whole = inspect_weights(folder)
    for name in ("one", "two"):
        shutil.copy(folder / "model.safetensors", folder / f"{name}.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert inspect_weights(folder).elements == 2 * whole.elements
    (folder / "two.safetensors").unlink()
    with pytest.raises(DamagedCheckpoint, match=r"two\.safetensors is missing"):
        inspect_weights(folder)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_weights_that_are_cut_short_are_found(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DamagedCheckpoint, match="cut short"):
        inspect_weights(folder)


def test_a_header_that_is_not_one_is_found(folder: Path) -> None:
    for header in (b"nonsense", b'{"a":1}', b"[1]", b'{"a":{"dtype":"F32"}}'):
        content = len(header).to_bytes(8, "little") + header
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(DamagedCheckpoint):
            inspect_weights(folder)
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(DamagedCheckpoint, match="empty"):
        inspect_weights(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_files_are_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(DamagedCheckpoint, match="missing"):
        inspect_weights(folder)


def test_an_index_that_names_nothing_is_found(folder: Path) -> None:
    for content in ("{}", "no json", "[]"):
        (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
        with pytest.raises(DamagedCheckpoint):
            inspect_weights(folder)


def test_the_containers_limit_bounds_what_is_available(tmp_path: Path) -> None:
    limit, usage, stat = (tmp_path / name for name in ("limit", "usage", "stat"))
    limit.write_text("1000\n", encoding="ascii")
    usage.write_text("400\n", encoding="ascii")
    assert available_bytes(((str(limit), str(usage), str(stat)),)) == 600
    usage.write_text("2000\n", encoding="ascii")
    assert available_bytes(((str(limit), str(usage), str(stat)),)) == 0
    limit.write_text("max\n", encoding="ascii")
    assert available_bytes(((str(limit), str(usage), str(stat)),)) > 1000
    missing = str(tmp_path / "no")
    assert available_bytes(((missing, missing, missing),)) > 1000


@pytest.mark.parametrize(
    "stat_text",
    [
        "anon 300\nfile 700\ninactive_file 600\nactive_file 100\n",
        "cache 70\ninactive_file 50\ntotal_cache 700\ntotal_inactive_file 600\n",
    ],
    ids=["version 2", "version 1"],
)
def test_cached_files_do_not_count_as_used_memory(tmp_path: Path, stat_text: str) -> None:
    limit, usage, stat = (tmp_path / name for name in ("limit", "usage", "stat"))
    limit.write_text("1000\n", encoding="ascii")
    usage.write_text("1000\n", encoding="ascii")
    stat.write_text(stat_text, encoding="ascii")
    assert available_bytes(((str(limit), str(usage), str(stat)),)) == 600


class Node:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_returning_memory_frees_what_refers_to_itself() -> None:
    gone = weakref.ref(Node())
    assert gone() is not None
    return_freed_memory()
    assert gone() is None
