"""One process of the kill test: delivers a script and ends by itself or by its fuse."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from bot.engine.base import GenerationRequest
from bot.messages import Action, ActionInvoked, Answerable
from tests.doubles.scripted import (
    ANN,
    BEN,
    CHANNEL,
    DIRECT,
    Fuse,
    ScriptedEngine,
    command,
    question,
)
from tests.running_flow import Clock, running_flow, until

MAX_CHARS = 60
SCRIPT: tuple[Answerable, ...] = (
    question("first of Ann", "a1", ANN),
    question("first of Ben", "b1", BEN),
    question("second of Ann", "a2", ANN),
    question("direct", "d1", ANN, DIRECT),
    command("model use", {"name": "large", "scope": "me"}, "c1", BEN),
)
TARGETS = tuple(event.id for event in SCRIPT)
RETRY = ActionInvoked("r1", CHANNEL, ANN, Action.RETRY, "a1")


def say(request: GenerationRequest) -> str:
    """An answer of two messages that tells its question."""
    asked = request.turns[-1].text.removeprefix("Ann: ").removeprefix("Ben: ")
    return f"You asked: {asked}. " + "This is why I answer at some length."


def run(folder: Path, at: int | None, is_after: bool) -> None:
    """Serve the script in this process; exit code 9 where the fuse blew."""
    asyncio.run(_run(folder, Fuse(at, is_after=is_after)))


async def _run(folder: Path, fuse: Fuse) -> None:
    engine = ScriptedEngine(say)
    clock = Clock(datetime.now(UTC))
    flow_of = running_flow(
        folder, engine=engine, script=SCRIPT, fuse=fuse, clock=clock, max_chars=MAX_CHARS
    )
    async with flow_of as flow:
        await flow.settle(*TARGETS)
        await until(lambda: flow.orchestrator.in_memory() == 0)
        await flow.submit(RETRY)
        await until(lambda: flow.orchestrator.in_memory() == 0)
        # What was being shown anew when a process died still has its old last message.
        await until(lambda: all(one.is_complete for one in flow.platform.messages()))
        await until(lambda: flow.orchestrator.in_memory() == 0)
        await flow.settle(*TARGETS)
        await flow.orchestrator.drain(10)
