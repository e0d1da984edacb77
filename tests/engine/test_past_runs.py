"""What is remembered of how models ran, and for how long it counts."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.engine import past_runs
from bot.engine.past_runs import FOLDER, PastRuns
from bot.engine.run_mode import Cause, Reason, RunMode
from config.catalogue import ModelEntry
from tests.checkpoints import TINY

MODE = RunMode(
    is_batched=True,
    has_kernels=False,
    precision="bf16",
    bits=8,
    reasons=(Reason(Cause.KERNELS_REFUSED, "off by 4"),),
)


@pytest.fixture
def model(tmp_path: Path) -> ModelEntry:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return TINY["smollm"].entry(folder)


def folder_of(model: ModelEntry) -> Path:
    assert model.folder is not None
    return model.folder


def test_a_run_is_remembered_in_another_process(tmp_path: Path, model: ModelEntry) -> None:
    assert PastRuns(tmp_path).of(model, folder_of(model)) is None
    PastRuns(tmp_path).note(model, folder_of(model), MODE)
    assert PastRuns(tmp_path).of(model, folder_of(model)) == MODE


def rewrite(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors").write_bytes(b"others!")
    os.utime(folder / "model.safetensors", (1, 1))


def take_another_processor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_runs, "processor_name", lambda: "another")


def hide_instructions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")


def update(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_runs, "version", lambda package: f"another {package}")  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


def add_a_core(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.cpu_count() or 1
    monkeypatch.setattr(os, "cpu_count", lambda: cores + 1)


def change_the_engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_runs, "_source_digest", lambda: "another")


@pytest.mark.parametrize(
    "change",
    [
        rewrite,
        take_another_processor,
        hide_instructions,
        update,
        add_a_core,
        change_the_engine,
    ],
)
def test_it_counts_until_what_decides_it_changes(
    tmp_path: Path,
    model: ModelEntry,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    PastRuns(tmp_path).note(model, folder_of(model), MODE)
    change(folder_of(model), monkeypatch)
    assert PastRuns(tmp_path).of(model, folder_of(model)) is None


def test_what_the_owner_configures_counts_too(tmp_path: Path, model: ModelEntry) -> None:
    PastRuns(tmp_path).note(model, folder_of(model), MODE)
    assert PastRuns(tmp_path, exact=True).of(model, folder_of(model)) is None
    fewer = model.model_copy(update={"weight_bits": 4})
    assert PastRuns(tmp_path).of(fewer, folder_of(model)) is None


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"circumstances": 1}', '{"mode": {}}', "\x00"])
def test_a_damaged_file_is_as_none(tmp_path: Path, model: ModelEntry, kept: str) -> None:
    PastRuns(tmp_path).note(model, folder_of(model), MODE)
    (tmp_path / FOLDER / f"{model.name}.json").write_text(kept)
    assert PastRuns(tmp_path).of(model, folder_of(model)) is None


@pytest.mark.parametrize(
    "mode", [{}, {"reasons": [{"cause": "later", "detail": ""}]}, {"reasons": [], "shape": 1}]
)
def test_what_another_version_kept_is_as_none(
    tmp_path: Path, model: ModelEntry, mode: dict[str, object]
) -> None:
    PastRuns(tmp_path).note(model, folder_of(model), MODE)
    file = tmp_path / FOLDER / f"{model.name}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mode": mode}))
    assert PastRuns(tmp_path).of(model, folder_of(model)) is None


def test_a_disk_that_refuses_keeps_no_model_from_running(
    tmp_path: Path, model: ModelEntry, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    PastRuns(tmp_path).note(model, folder_of(model), MODE)
    assert "how smollm runs could not be kept" in caplog.text


def test_of_two_files_in_a_folder_each_has_its_own_runs(tmp_path: Path) -> None:
    """An entry that names a file, and later another one, is not taken for what it was."""
    first, second = (tmp_path / f"{name}.gguf" for name in ("first", "second"))
    for file in (first, second):
        file.write_bytes(file.name.encode())
    entry = TINY["smollm"].entry(first)
    PastRuns(tmp_path).note(entry, first, MODE)
    assert PastRuns(tmp_path).of(entry, first) == MODE
    assert PastRuns(tmp_path).of(entry, second) is None


def test_the_engines_source_is_read_down_to_its_rooms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "room").mkdir()
    module = tmp_path / "room" / "kernel.py"
    module.write_text("one = 1")
    monkeypatch.setattr(past_runs, "ENGINE", tmp_path)
    digest = past_runs._source_digest.__wrapped__  # pyright: ignore[reportPrivateUsage]
    before = digest()
    module.write_text("one = 2")
    assert digest() != before
