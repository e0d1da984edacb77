"""The event loop stays free while models load and answer: a heartbeat depends on it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bot.engine.local import models_in_memory
from bot.engine.local.engine import TransformersEngine
from tests.checkpoints import PROMPTS
from tests.engine.engines import read, request_for


def watched(function: Callable[..., Any], threads: set[int]) -> Callable[..., Any]:
    """The function, which notes the thread that it runs in."""

    def run(*arguments: Any, **options: Any) -> Any:
        threads.add(threading.get_ident())
        return function(*arguments, **options)

    return run


@pytest.mark.parametrize("model", ["smollm", "blenderbot"])
async def test_generation_and_loading_never_run_on_the_event_loop(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    loading, computing = set[int](), set[int]()
    load, call = models_in_memory.load_checkpoint, torch.nn.Module.__call__
    monkeypatch.setattr(models_in_memory, "load_checkpoint", watched(load, loading))
    monkeypatch.setattr(torch.nn.Module, "__call__", watched(call, computing))

    await read(engine, request_for(model, PROMPTS[0]))

    assert len(loading) == 1
    assert loading == computing
    assert threading.get_ident() not in loading
