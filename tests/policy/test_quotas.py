"""Rates and token budgets, through the whole flow."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from typing_extensions import override

from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    Payer,
    TextDelta,
    Usage,
)
from bot.errors import QuotaSpent
from bot.messages import Author, ConversationRef
from bot.policy.quotas import Quotas
from bot.settings.specs import SettingName
from bot.store.ports.usages import Usages, Used
from tests.commands.test_commands import MANAGER, OWNER, answer
from tests.doubles.scripted import ANN, BEN, CHANNEL, DIRECT, ScriptedEngine, command, question
from tests.running_flow import Clock, Flow, running_flow, until

OTHER = ConversationRef("scripted", "home", "other")
SPENT = "That is all for now"


class Counting(ScriptedEngine):
    """Each answer takes ten tokens, six of them read."""

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        yield TextDelta("yes")
        await self.gate.wait()
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=6, generated_tokens=4))


async def limit(flow: Flow, key: str, value: int, scope: str = "global") -> None:
    said = await answer(flow, "settings set", OWNER, key=key, value=str(value), scope=scope)
    assert said.startswith(f"{key} is")


async def ask(flow: Flow, author: Author = ANN, where: ConversationRef = CHANNEL) -> str:
    identifier = f"q{len(flow.platform.messages())}"
    await flow.submit(question("hello", identifier, author, where))
    await flow.settle(identifier)
    return flow.platform.answer(identifier)


async def is_served(flow: Flow, author: Author = ANN, where: ConversationRef = CHANNEL) -> bool:
    return not (await ask(flow, author, where)).startswith(SPENT)


async def test_a_rate_is_told_with_its_limit_and_reset_and_resets_then(tmp_path: Path) -> None:
    clock = Clock()
    clock.move(minutes=20)
    async with running_flow(tmp_path, clock=clock) as flow:
        await limit(flow, "user_rate", 2)
        assert await is_served(flow)
        assert await is_served(flow)
        assert await ask(flow) == (
            "That is all for now: you have used up the limit of 2 answers this hour. There is more "
            "at 01:00 UTC, in 40 minutes."
        )
        assert len(flow.engine.requests) == 2
        clock.move(minutes=41)
        assert await is_served(flow)


class SlowUsages(Usages):
    """Lets others go first between what it read and whoever asked."""

    def __init__(self, usages: Usages) -> None:
        self._usages = usages

    @override
    async def since(self, time: datetime, counted: Sequence[str]) -> Sequence[Used]:
        found = await self._usages.since(time, counted)
        await asyncio.sleep(0.01)
        return found

    @override
    async def add(
        self, counted: Sequence[str], hour: datetime, *, answers: int = 0, tokens: int = 0
    ) -> None:
        await self._usages.add(counted, hour, answers=answers, tokens=tokens)


async def test_of_answers_that_begin_at_once_no_more_are_admitted_than_are_left(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        quotas = Quotas(SlowUsages(flow.store.usages), [], flow.clock)
        payer = Payer(CHANNEL, ANN, {SettingName.USER_RATE: 2})
        admitted = await asyncio.gather(
            *(quotas.admit(payer) for _ in range(5)), return_exceptions=True
        )
    assert admitted.count(True) == 2
    assert sum(isinstance(one, QuotaSpent) for one in admitted) == 3


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("user", [(BEN, CHANNEL)]),
        ("channel", [(ANN, OTHER)]),
        ("workspace", [(ANN, DIRECT)]),
    ],
)
async def test_each_limit_is_shared_by_those_it_names(
    tmp_path: Path, key: str, others: list[tuple[Author, ConversationRef]]
) -> None:
    async with running_flow(tmp_path) as flow:
        await limit(flow, f"{key}_rate", 1)
        assert await is_served(flow)
        assert not await is_served(flow)
        if key != "user":
            assert not await is_served(flow, BEN)
        for author, where in others:
            assert await is_served(flow, author, where)


async def test_a_token_budget_counts_what_is_read_and_written_and_resets_at_midnight(
    tmp_path: Path,
) -> None:
    clock = Clock()
    clock.move(hours=22)
    async with running_flow(tmp_path, engine=Counting(), clock=clock) as flow:
        await limit(flow, "user_tokens", 15)
        assert await is_served(flow)
        clock.move(hours=1)
        assert await is_served(flow)
        said = await ask(flow)
        assert "limit of 15 tokens today. There is more at 00:00 UTC, in 60 minutes." in said
        clock.move(hours=1)
        assert await is_served(flow)


async def test_an_answer_that_is_stopped_is_charged_as_far_as_it_got(tmp_path: Path) -> None:
    async with running_flow(tmp_path, engine=Counting()) as flow:
        await limit(flow, "user_tokens", 1)
        flow.engine.gate.clear()
        await flow.submit(question("hello", "q1"))
        await until(lambda: bool(flow.platform.messages("q1")))
        await flow.submit(command("stop", identifier="s1"))
        await flow.settle("q1", "s1")
        assert not await is_served(flow)


async def test_owners_are_exempt(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await limit(flow, "user_rate", 0)
        await limit(flow, "channel_tokens", 0)
        assert await is_served(flow, OWNER)
        assert not await is_served(flow, MANAGER)


async def test_a_comparison_is_charged_for_each_answer(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await limit(flow, "user_rate", 3)
        said = await answer(flow, "compare", question="hello", models="small,large")
        assert SPENT not in said
        assert SPENT in await answer(flow, "compare", question="hello", models="small,large")
        assert len(flow.engine.requests) == 3


async def test_the_narrower_limit_holds_unless_a_wider_one_is_locked(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await limit(flow, "user_rate", 1)
        await limit(flow, "user_rate", 2, "channel")
        assert await is_served(flow)
        assert await is_served(flow)
        assert not await is_served(flow)
        assert not await is_served(flow, ANN, OTHER)


async def test_managers_cannot_set_quotas(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "settings set", MANAGER, key="user_rate", value="9")
        assert said.startswith("Only an owner")


async def test_forgetting_does_not_renew_a_quota_and_a_restart_does_not_either(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await limit(flow, "user_rate", 1)
        assert await is_served(flow)
        await answer(flow, "forget me")
        assert not await is_served(flow)
    async with running_flow(tmp_path) as flow:
        assert not await is_served(flow)


async def test_nothing_is_counted_where_nothing_is_limited(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert await is_served(flow)
        await limit(flow, "user_rate", 1)
        assert await is_served(flow)
        assert not await is_served(flow)
