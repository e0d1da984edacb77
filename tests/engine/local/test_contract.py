"""The engine contract over the engine that runs models here."""

from typing import cast

import pytest

from bot.engine.base import Engine
from tests.checkpoints import TINY
from tests.contract.engine_contract import EngineContract
from tests.engine.engines import MakeEngine


class TestTransformersEngine(EngineContract):
    """Over every family."""

    @pytest.fixture
    def engine(self, make_engine: MakeEngine) -> Engine:
        return make_engine()

    @pytest.fixture(params=TINY)
    def model(self, request: pytest.FixtureRequest) -> str:
        return cast("str", request.param)
