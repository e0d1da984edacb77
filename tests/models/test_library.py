"""Where models are, and removing them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.errors import ModelNotInstalled, UsageError
from bot.models.library import ModelLibrary
from config.catalogue import BUILTIN, Catalogue, ModelEntry
from config.settings import HubSettings
from tests.doubles.loopback_hub import write_model
from tests.models.test_pull import TINY


def library(folder: Path) -> ModelLibrary:
    return ModelLibrary(folder / "models", HubSettings())


def own(folder: Path) -> ModelEntry:
    return TINY.model_copy(update={"repository": None, "folder": folder})


def test_a_model_that_is_not_here_names_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelNotInstalled, match=r"Run: fireside models pull tiny$"):
        library(tmp_path).path(TINY)
    assert library(tmp_path).installed(TINY) is None


def test_a_folder_of_the_owner_is_where_it_says(tmp_path: Path) -> None:
    write_model(tmp_path / "mine")
    found = library(tmp_path).installed(own(tmp_path / "mine"))
    assert found is not None
    assert (found.folder, found.commit) == (tmp_path / "mine", None)
    assert found.size_bytes > 8000


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotInstalled, match=r"Correct the folder in fireside.toml"):
        library(tmp_path).path(own(tmp_path / "nowhere"))


def test_the_embedded_model_comes_with_the_program() -> None:
    entry = Catalogue.load().get(BUILTIN)
    assert library(Path("/nowhere")).path(entry).name == "model"


def test_pulling_what_is_not_on_a_hub_only_looks_whether_it_is_here(tmp_path: Path) -> None:
    write_model(tmp_path / "mine")
    assert library(tmp_path).pull(own(tmp_path / "mine")).folder == tmp_path / "mine"
    with pytest.raises(ModelNotInstalled):
        library(tmp_path).pull(own(tmp_path / "nowhere"))


def test_removing_deletes_the_model_and_what_an_interrupted_pull_left(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "tiny")
    write_model(tmp_path / "models" / ".tiny.partial")
    write_model(tmp_path / "models" / "other")
    freed_bytes = library(tmp_path).remove(TINY)
    assert freed_bytes > 16000
    left = {path.name for path in (tmp_path / "models").iterdir()}
    assert left == {"other", ".tiny.lock"}


def test_removing_what_is_not_here_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotInstalled, match=r"tiny is not installed"):
        library(tmp_path).remove(TINY)


def test_the_embedded_model_cannot_be_removed() -> None:
    with pytest.raises(UsageError, match=r"stays"):
        library(Path("/nowhere")).remove(Catalogue.load().get(BUILTIN))


def test_a_folder_of_the_owner_is_never_deleted(tmp_path: Path) -> None:
    write_model(tmp_path / "mine")
    with pytest.raises(UsageError, match=r"a folder of yours"):
        library(tmp_path).remove(own(tmp_path / "mine"))
    assert (tmp_path / "mine" / "config.json").exists()


@pytest.mark.parametrize("record", ["", "{", "[]", "\xff"])
def test_a_model_without_a_readable_record_is_still_a_model(tmp_path: Path, record: str) -> None:
    folder = tmp_path / "models" / "tiny"
    write_model(folder)
    (folder / "fireside.json").write_text(record, encoding="latin-1")
    found = library(tmp_path).installed(TINY)
    assert found is not None
    assert (found.commit, found.pulled_at) == (None, None)


def test_when_it_was_pulled_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    write_model(folder)
    when = datetime(2026, 5, 4, tzinfo=UTC)
    record = {"commit": "c" * 40, "pulled_at": when.isoformat()}
    (folder / "fireside.json").write_text(json.dumps(record))
    found = library(tmp_path).installed(TINY)
    assert found is not None
    assert (found.commit, found.pulled_at) == ("c" * 40, when)
