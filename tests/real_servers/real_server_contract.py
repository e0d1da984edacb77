"""What a real server on loopback shows beyond the contract, serving the embedded model."""

import asyncio
from abc import abstractmethod

import pytest

from bot.conversation import Role, Turn
from bot.engine.base import (
    Engine,
    FinishReason,
    GenerationRequest,
    SamplingParameters,
    TextDelta,
)
from bot.engine.local.engine import TransformersEngine
from bot.engine.remote.engine import OpenAIEngine
from bot.models.library import BUILTIN_FOLDER
from config.catalogue import Catalogue
from tests.contract.engine_contract import EngineContract
from tests.engine.reading import read, request_for

CONTEXT_TOKENS = 512
GREEDY = SamplingParameters(temperature=0.0, max_tokens=24)


class RealServerContract(EngineContract):
    """The engine's contract and what a server must do for it. Subclasses give the fixtures `url`
    and `engine`, whose model is called "far" and has a window of `CONTEXT_TOKENS`.
    """

    @pytest.fixture
    def model(self) -> str:
        return "far"

    @abstractmethod
    def at_work(self, url: str) -> int:
        """How many answers the server is at work on."""

    async def test_the_answer_is_the_one_that_the_model_gives_here(self, engine: Engine) -> None:
        """Greedy, in 32 bits, on both sides of the wire."""
        entries = Catalogue.load().entries
        here = TransformersEngine(entries, lambda _entry: BUILTIN_FOLDER, exact=True)
        try:
            for question in ("hello", "how old is the sun?", "tell me about your day"):
                local = await read(here, request_for("fireside", question, GREEDY))
                remote = await read(engine, request_for("far", question, GREEDY))
                assert remote.text == local.text
                assert remote.finished.reason == local.finished.reason
                assert remote.finished.usage.prompt_tokens == local.finished.usage.prompt_tokens
                assert remote.finished.usage.generated_tokens in (
                    local.finished.usage.generated_tokens,
                    local.finished.usage.generated_tokens + 1,  # vLLM counts the token that ends it
                )
        finally:
            await here.close()

    async def test_leaving_the_block_stops_the_server(self, engine: OpenAIEngine, url: str) -> None:
        """The server itself says how many answers it is at work on."""
        long = SamplingParameters(
            temperature=1.0, max_tokens=480, repetition_penalty=1.5, stop=("§",)
        )
        async with engine.stream(request_for("far", "tell me a long story", long)) as stream:
            async for event in stream:
                assert isinstance(event, TextDelta)
                break
            count = await asyncio.to_thread(self.at_work, url)
        assert count == 1
        async with asyncio.timeout(20):
            while await asyncio.to_thread(self.at_work, url):  # noqa: ASYNC110 - it tells when asked
                await asyncio.sleep(0.05)

    async def test_a_seed_gives_the_same_answer_again(self, engine: Engine) -> None:
        def seeded(seed: int) -> GenerationRequest:
            sampling = SamplingParameters(temperature=1.0, max_tokens=24, seed=seed)
            return request_for("far", "tell me a story", sampling)

        first, again, other = [(await read(engine, seeded(seed))).text for seed in (1, 1, 2)]
        assert first == again
        assert first != other

    async def test_a_stop_string_ends_the_answer(self, engine: Engine) -> None:
        whole = (await read(engine, request_for("far", "hello", GREEDY))).text
        word = whole.split()[2]
        sampling = SamplingParameters(temperature=0.0, max_tokens=24, stop=(word,))
        got = await read(engine, request_for("far", "hello", sampling))
        assert got.text == whole[: whole.index(word)]
        assert got.finished.reason is FinishReason.STOP

    async def test_a_long_conversation_is_trimmed_to_the_servers_window(
        self, engine: Engine
    ) -> None:
        turns = [
            Turn(role, "hello there, how are you? " * 6) for role in (Role.USER, Role.ASSISTANT)
        ]
        request = GenerationRequest("far", (*turns * 30, Turn(Role.USER, "and now?")), GREEDY)
        got = await read(engine, request)
        assert got.finished.error is None
        assert got.finished.usage.dropped_turns > 0
        assert CONTEXT_TOKENS // 4 < got.finished.usage.prompt_tokens < CONTEXT_TOKENS

    async def test_a_question_beyond_the_window_is_cut_and_answered(self, engine: Engine) -> None:
        got = await read(engine, request_for("far", "x! " * 4000 + "hello?", GREEDY))
        assert got.finished.error is None
        assert got.finished.usage.cut_tokens > 0
