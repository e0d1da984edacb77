"""The tiny checkpoints, made once, and engines over them."""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.engine.local import models_in_memory
from bot.engine.local.engine import TransformersEngine
from config.catalogue import ModelEntry
from tests.checkpoints import TINY
from tests.engine.engines import MakeEngine, folder_of
from tests.engine.held_loads import HeldLoads


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folder of each tiny checkpoint."""
    folders: dict[str, Path] = {}
    for name, tiny in TINY.items():
        folders[name] = tmp_path_factory.mktemp(name)
        tiny.make(folders[name])
    return folders


@pytest.fixture(scope="session")
def entries(checkpoints: Mapping[str, Path]) -> Mapping[str, ModelEntry]:
    """A catalogue of the tiny checkpoints."""
    return {name: TINY[name].entry(folder) for name, folder in checkpoints.items()}


@pytest.fixture
async def make_engine(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[MakeEngine]:
    """Makes engines, over the tiny checkpoints unless told otherwise, and closes them.

    Their workers keep the normal priority: a busy machine would make the tests wait.
    """
    monkeypatch.setattr("bot.engine.local.engine.NICE", 0)
    made: list[TransformersEngine] = []

    def make(**options: Any) -> TransformersEngine:
        given: dict[str, Any] = {"entries": entries, "locate": folder_of, "exact": True}
        engine = TransformersEngine(**(given | options))
        made.append(engine)
        return engine

    yield make
    for engine in made:
        await engine.close()


@pytest.fixture
def engine(make_engine: MakeEngine) -> TransformersEngine:
    """An engine over the tiny checkpoints."""
    return make_engine()


@pytest.fixture
def held_loads(monkeypatch: pytest.MonkeyPatch) -> HeldLoads:
    """Loads that are held."""
    held = HeldLoads()
    monkeypatch.setattr(models_in_memory, "load_checkpoint", held.load)
    return held
