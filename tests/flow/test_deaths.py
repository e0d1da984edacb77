"""What becomes of messages whose process died, or whose database was away."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from bot.engine.base import EngineEvent, GenerationRequest
from bot.errors import StoreUnavailable
from bot.messages import Author
from bot.store.ports.inbox import Claim
from bot.store.ports.records import ReplyPart
from tests.doubles.scripted import ACCOUNT, BEN, ScriptedEngine, question
from tests.running_flow import Flow, running_flow


class Watched(ScriptedEngine):
    """Notes which questions are in the forward pass together."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.together: list[list[str]] = []

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        asked = request.turns[-1].text.split(" ")[-1]
        self.inside.append(asked)
        self.together.append([*self.inside])
        try:
            await asyncio.sleep(0.2)
            async for event in super()._events(request):
                yield event
        finally:
            self.inside.remove(asked)


async def die(flow: Flow, *targets: str) -> None:
    """Let a process that answers these questions die."""
    left = await flow.store.recovery.unanswered(ACCOUNT, flow.clock())
    for message in left:
        if message.event.id in targets:
            later = flow.clock() + timedelta(minutes=1)
            await flow.store.inbox.claim(message.id, f"dead {targets}", flow.clock(), later)
    await flow.store.recovery.take_over(ACCOUNT)


async def test_messages_that_were_in_the_forward_pass_at_a_death_are_answered_one_at_a_time(
    tmp_path: Path,
) -> None:
    names = [f"q{number}" for number in range(5)]
    async with running_flow(tmp_path) as flow:
        await flow.orchestrator.drain(0)
        await flow.submit(*(question(one, one, Author(one, one)) for one in names))
        for _ in range(2):
            await die(flow, *names[:3])
    engine = Watched()
    async with running_flow(tmp_path, engine=engine) as flow:
        await flow.settle(*names)
        assert all(flow.said(one).endswith(one) for one in names)
    suspects = {*names[:3]}
    assert [one for one in engine.together if suspects & {*one} and len(one) > 1] == []
    assert len(engine.together) == 5


async def test_a_message_that_was_alone_in_the_forward_pass_at_two_deaths_is_given_up(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await flow.orchestrator.drain(0)
        await flow.submit(question("kills", "q1"), question("does not", "q2", BEN))
        await die(flow, "q1", "q2")
        await die(flow, "q1")
        await die(flow, "q1")
    async with running_flow(tmp_path) as flow:
        await flow.settle("q1", "q2")
        assert "broke down twice" in flow.said("q1")
        assert flow.said("q2").endswith("does not")


async def test_a_part_that_cannot_be_recorded_for_a_while_delays_an_answer_and_never_becomes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        save, failures = flow.store.inbox.save_part, [1, 2, 3]

        async def fail_at_first(claim: Claim, part: ReplyPart) -> None:
            if failures:
                failures.pop()
                raise StoreUnavailable("/srv/fireside.db is locked by another program.")
            await save(claim, part)

        monkeypatch.setattr(flow.store.inbox, "save_part", fail_at_first)
        await flow.submit(question("hello"))
        await flow.settle("q1")
        await flow.orchestrator.drain(30)
        assert flow.said("q1") == "You said: hello"
        assert failures == []
