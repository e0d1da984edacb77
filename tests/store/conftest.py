"""A data folder, and a check that nothing that a test opened lives on."""

import threading
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Generator[None]:
    """Every connection has a thread; each ends with its store, opened well or not."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), f"{thread.name} is left"
