"""Tests of configuration run in an empty folder, with an environment that says nothing.

What the owner is asked there, the test types.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from config.logging import OURS, QUIET

SILENCED = (
    "FIRESIDE_",
    "HF_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "OLLAMA_",
    "XDG_",
    "SSL_",
)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: empty, and nothing of this machine's settings is seen."""
    for name in [name for name in os.environ if name.upper().startswith(SILENCED)]:
        monkeypatch.delenv(name)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    monkeypatch.setattr("config.sources.SECRETS_DIR", tmp_path / "secrets")
    monkeypatch.setattr("bot.models.gguf_stores.OLLAMA_SERVICE", ())
    monkeypatch.setattr("bot.engine.remote.local_servers.USUAL", ())
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command set up for logging."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in (*OURS, *QUIET)}
    yield
    logging.captureWarnings(False)
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the owner types, in order, at a terminal."""
    typed: list[str] = []

    def next_answer(_console: Console, *_prompt: object, **_options: object) -> str:
        return typed.pop(0)

    monkeypatch.setattr(Console, "input", next_answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    return typed
