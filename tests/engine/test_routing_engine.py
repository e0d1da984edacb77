"""The engine over several engines: each model goes where its entry says."""

from collections.abc import Callable, Sequence

from typing_extensions import override

from bot.engine.base import ModelState, ResidentModel
from bot.engine.routing_engine import RoutingEngine
from config.catalogue import EngineKind, Family, ModelEntry
from tests.doubles.scripted import ScriptedEngine
from tests.engine.reading import read, request_for


class Recording(ScriptedEngine):
    """Remembers what was loaded and unloaded, and whether it was started or closed."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda _request: name)
        self.calls: list[str] = []

    @override
    async def start(self) -> None:
        self.calls.append("start")

    @override
    async def load(self, model: str, progress: Callable[[float], None] | None = None) -> None:
        self.calls.append(f"load {model}")

    @override
    async def unload(self, model: str) -> None:
        self.calls.append(f"unload {model}")

    @override
    def resident(self) -> Sequence[ResidentModel]:
        names = [call.removeprefix("load ") for call in self.calls if call.startswith("load")]
        return [ResidentModel(name, ModelState.READY, 0, 0) for name in names]

    @override
    async def close(self) -> None:
        self.calls.append("close")


def entry(name: str, engine: EngineKind) -> ModelEntry:
    return ModelEntry(
        name=name,
        title=name,
        family=Family.CHAT,
        description="made by the tests",
        licence="MIT",
        engine=engine,
        context_tokens=64,
        weight_bytes=0,
    )


async def test_each_model_goes_to_the_engine_that_its_entry_names() -> None:
    here, there = Recording("here"), Recording("there")
    entries = {
        "near": entry("near", EngineKind.TRANSFORMERS),
        "far": entry("far", EngineKind.OPENAI),
    }
    engine = RoutingEngine(entries, {EngineKind.TRANSFORMERS: here, EngineKind.OPENAI: there})
    await engine.start()
    assert (await read(engine, request_for("near", "?"))).text == "here"
    assert (await read(engine, request_for("far", "?"))).text == "there"
    assert (await read(engine, request_for("unknown", "?"))).text == "here"
    await engine.load("far")
    await engine.load("near")
    assert [model.name for model in engine.resident()] == ["near", "far"]
    await engine.unload("far")
    await engine.close()
    assert here.calls == ["load near", "close"]
    assert there.calls == ["load far", "unload far", "close"]
