"""The terminal with the real message flow behind it: orchestrator, store, commands, writer."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

from typing_extensions import override

from adapters.console.adapter import ConsoleAdapter
from adapters.console.display import Display, PlainDisplay
from adapters.console.drawing import TerminalDisplay
from bot.engine.base import EngineEvent, GenerationRequest, TextDelta
from bot.flow.queues import Limits
from bot.store.sql.store import SqlStore
from tests.adapters.console.doubles import SEAT, TypedLines, VirtualTerminal, console_on
from tests.doubles.scripted import ScriptedEngine
from tests.running_flow import Clock, composed, until


class Chat:
    """A chat that runs, and its end."""

    def __init__(self, lines: TypedLines, shown: Callable[[], str]) -> None:
        self.lines = lines
        self.shown = shown

    async def see(self, text: str) -> None:
        await until(lambda: text in self.shown())


@asynccontextmanager
async def chatting(
    folder: Path, display: Display, shown: Callable[[], str], engine: ScriptedEngine | None = None
) -> AsyncGenerator[Chat, None]:
    """Run a chat; the member leaves at the block's end."""
    clock, lines = Clock(), TypedLines()
    store = await SqlStore.open(folder)
    orchestrator, services = composed(store, engine or ScriptedEngine(), clock, Limits())
    adapter = ConsoleAdapter(services, lines, display, SEAT, clock)
    services.account = adapter.account
    orchestrator.attach(adapter)
    started = asyncio.Event()
    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            flow = group.create_task(orchestrator.run(started))
            await started.wait()
            chat = group.create_task(adapter.run())
            yield Chat(lines, shown)
            lines.type("quit")
            await chat
            flow.cancel()
    finally:
        await store.close()


async def test_a_piped_conversation_is_a_script(tmp_path: Path) -> None:
    output = StringIO()
    display = PlainDisplay(output, StringIO())
    async with chatting(tmp_path, display, output.getvalue) as chat:
        for line in ("hello", "", "/reset", "/model", "/model use nonsense", "how are you"):
            chat.lines.type(line)
        await chat.see("how are you")

    lines = output.getvalue().splitlines()
    assert lines[0] == "Chatbot: You said: hello"
    assert lines[2].startswith("Chatbot: /model is used like this")
    assert "no model nonsense" in lines[3]
    assert lines[-2:] == ["Chatbot: You said: how are you", "Chatbot: Goodbye!"]
    assert len([line for line in lines if line.startswith("Chatbot: ")]) == 6


async def test_a_terminal_draws_the_same_conversation(tmp_path: Path) -> None:
    terminal = VirtualTerminal()
    display = TerminalDisplay(console_on(terminal))
    async with chatting(tmp_path, display, terminal.text) as chat:
        chat.lines.type("one *two* three")
        await chat.see("You said: one two three")

    assert terminal.screen() == ["Chatbot: You said: one two three", "Chatbot: Goodbye!"]


class HesitantEngine(ScriptedEngine):
    """An engine that stops in the middle of its answer until somebody leaves the block."""

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        yield TextDelta("Once upon a time")
        if "story" in request.turns[-1].text:
            await asyncio.Event().wait()
        async for event in super()._events(request):
            yield event


async def test_ctrl_c_stops_the_model_and_keeps_the_chat(tmp_path: Path) -> None:
    terminal, engine = VirtualTerminal(), HesitantEngine()
    display = TerminalDisplay(console_on(terminal))
    async with chatting(tmp_path, display, terminal.text, engine) as chat:
        chat.lines.type("tell me a story")
        await chat.see("Once upon a time")
        assert chat.lines.interrupt is not None
        chat.lines.interrupt()
        await chat.see("(Stopped.)")
        chat.lines.type("go on")
        await chat.see("go on")

    assert engine.left_early == 1
    assert terminal.screen()[:3] == ["Chatbot: Once upon a time", "", "(Stopped.)"]
    assert terminal.screen()[-1] == "Chatbot: Goodbye!"
