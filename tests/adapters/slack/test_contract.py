"""The Slack adapter keeps the adapter contract on the loopback Slack."""

from collections.abc import AsyncGenerator

import pytest

from tests.adapters.slack.doubles import LoopbackSlack, started
from tests.contract.adapter_contract import AdapterContract


class TestSlackAdapter(AdapterContract):
    @pytest.fixture
    async def platform(self) -> AsyncGenerator[LoopbackSlack, None]:
        async with started() as slack:
            yield slack
