"""The engine contract over loopback servers of every dialect."""

from collections.abc import AsyncGenerator
from typing import cast

import pytest

from tests.contract.engine_contract import EngineContract
from tests.doubles.dialects import DIALECTS, Dialect
from tests.doubles.model_server import ModelServer


class TestOpenAIEngine(EngineContract):
    """The contract's second column."""

    @pytest.fixture
    def model(self) -> str:
        return "far"

    @pytest.fixture(params=DIALECTS, ids=[dialect.name for dialect in DIALECTS])
    async def server(self, request: pytest.FixtureRequest) -> AsyncGenerator[ModelServer]:
        async with ModelServer(cast("Dialect", request.param)).serving() as serving:
            yield serving
