"""The Discord adapter keeps the adapter contract on simcord's virtual Discord."""

from collections.abc import AsyncGenerator

import pytest

from tests.adapters.discord.doubles import SimulatedDiscord, started
from tests.contract.adapter_contract import AdapterContract


class TestDiscordAdapter(AdapterContract):
    @pytest.fixture
    async def platform(self) -> AsyncGenerator[SimulatedDiscord, None]:
        async with started() as discord:
            yield discord
