"""The built distribution, and what the repository may name."""

import subprocess
import sys
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.requirements import ROOT
from scripts.setup_environment import CPU_INDEX

PACKAGES = ("adapters", "bench", "bot", "config")
SOURCES = (*PACKAGES, "docs", "scripts", "tests", "training")
SCRIPT = ROOT / "scripts" / "setup_environment.py"


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The files in the wheel that the pinned back end builds, offline."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def files_of(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def test_the_wheel_holds_every_file_of_the_packages(wheel_names: frozenset[str]) -> None:
    expected = {path.relative_to(ROOT).as_posix() for path in files_of(*PACKAGES)}
    assert expected - wheel_names == set()


def test_the_wheel_holds_nothing_but_the_packages(wheel_names: frozenset[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} <= set(PACKAGES)


def test_the_wheel_carries_the_licence_and_the_notices(wheel_names: frozenset[str]) -> None:
    carried = {Path(name).name for name in wheel_names if "/licenses/" in name}
    assert carried == {"LICENSE", "THIRD_PARTY_NOTICES.md"}


def test_the_notices_name_the_data_and_the_models_with_their_licences() -> None:
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    for owner in (
        "Copyright (c) 2019 Perception, Control and Cognition Lab",
        "Copyright (c) 2017, Gunther Cox",
        "`facebook/blenderbot-400M-distill` | Meta AI | Apache-2.0",
        "`google/flan-t5-small`, `google/flan-t5-base` | Google | Apache-2.0",
    ):
        assert owner in notices


def test_the_index_of_pytorch_is_named_in_the_set_up_script_alone() -> None:
    host = urllib.parse.urlsplit(CPU_INDEX).netloc.encode()
    texts = [*files_of(*SOURCES), *(path for path in ROOT.glob("*") if path.is_file())]
    named = [path for path in texts if host in path.read_bytes()]
    assert named == [SCRIPT]
