"""The remote engine against llama.cpp's own server on loopback, serving the embedded model.

Not part of `make test`: `make test-llama-server LLAMA_SERVER=/path/to/llama-server` runs this file.
"""

import asyncio
import json
import os
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import gguf
import pytest

from bot.conversation import Role, Turn
from bot.engine.base import (
    Engine,
    FinishReason,
    GenerationRequest,
    SamplingParameters,
    TextDelta,
)
from bot.engine.chat_api import ChatServer
from bot.engine.openai_engine import OpenAIEngine
from bot.engine.served_model import Dialect, ask_served_model, count_tokens
from bot.engine.transformers_engine import TransformersEngine
from bot.library import BUILTIN_FOLDER
from config.catalogue import Catalogue, ModelEntry
from config.owner_models import OwnerModel, catalogue_with
from tests.contract.engine_contract import EngineContract
from tests.engine.reading import read, request_for
from tests.gguf_file import write_gguf
from tests.remote.server_process import free_port, running

KEY = "loopback-key"
CONTEXT_TOKENS = 512
ANSWERS_AT_ONCE = 4
GREEDY = SamplingParameters(temperature=0.0, max_tokens=24)


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server."""
    program = os.environ.get("LLAMA_SERVER", "")
    assert program, "run: make test-llama-server LLAMA_SERVER=/path/to/llama-server"
    folder = tmp_path_factory.mktemp("server")
    write_gguf(BUILTIN_FOLDER, folder / "fireside.gguf", gguf.GGMLQuantizationType.F32)
    port = free_port()
    command = [
        *(program, "--model", folder / "fireside.gguf"),
        *("--host", "127.0.0.1", "--port", str(port), "--api-key", KEY),
        *("--ctx-size", str(CONTEXT_TOKENS * ANSWERS_AT_ONCE), "--parallel", str(ANSWERS_AT_ONCE)),
        *("--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off", "--no-webui"),
    ]
    with running(command, {}, port, folder / "log"):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def entry(url: str) -> ModelEntry:
    """The catalogue entry, through the loader that an owner's table goes through."""
    table = {"engine": "openai", "endpoints": [url], "api_key": KEY}
    return catalogue_with({"far": OwnerModel.model_validate(table)}).get("far")


@pytest.fixture
async def engine(entry: ModelEntry) -> AsyncGenerator[OpenAIEngine]:
    engine = OpenAIEngine({"far": entry})
    yield engine
    await engine.close()


class TestOpenAIEngineOverLlamaCpp(EngineContract):
    """The contract over llama.cpp."""

    @pytest.fixture
    def model(self) -> str:
        return "far"


async def test_the_answer_is_the_one_that_the_model_gives_here(engine: Engine) -> None:
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
    finally:
        await here.close()


async def test_leaving_the_block_stops_the_server(engine: OpenAIEngine, url: str) -> None:
    """Its slots say whether they are at work."""
    long = SamplingParameters(temperature=1.0, max_tokens=480, repetition_penalty=1.5, stop=("§",))
    async with engine.stream(request_for("far", "tell me a long story", long)) as stream:
        async for event in stream:
            assert isinstance(event, TextDelta)
            break
        at_work = await asyncio.to_thread(_at_work, url)
    assert at_work == 1
    async with asyncio.timeout(20):
        while await asyncio.to_thread(_at_work, url) > 0:  # noqa: ASYNC110 - it tells when asked
            await asyncio.sleep(0.05)


async def test_a_seed_gives_the_same_answer_again(engine: Engine) -> None:
    def seeded(seed: int) -> GenerationRequest:
        sampling = SamplingParameters(temperature=1.0, max_tokens=24, seed=seed)
        return request_for("far", "tell me a story", sampling)

    first, again, other = [(await read(engine, seeded(seed))).text for seed in (1, 1, 2)]
    assert first == again
    assert first != other


async def test_a_stop_string_ends_the_answer(engine: Engine) -> None:
    whole = (await read(engine, request_for("far", "hello", GREEDY))).text
    word = whole.split()[2]
    sampling = SamplingParameters(temperature=0.0, max_tokens=24, stop=(word,))
    got = await read(engine, request_for("far", "hello", sampling))
    assert got.text == whole[: whole.index(word)]
    assert got.finished.reason is FinishReason.STOP


async def test_top_k_and_the_repetition_penalty_hold(engine: Engine) -> None:
    """One candidate is the likeliest one; a penalty changes what is said."""
    question = "tell me a long story"

    async def said(**chosen: Any) -> str:
        sampling = SamplingParameters(max_tokens=80, **chosen)
        return (await read(engine, request_for("far", question, sampling))).text

    likeliest = await said(temperature=0.0)
    assert await said(temperature=1.5, top_k=1, seed=3) == likeliest
    assert await said(temperature=0.0, repetition_penalty=1.9) != likeliest


async def test_the_server_tells_its_kind_its_window_and_counts_tokens(url: str) -> None:
    server = ChatServer(url, KEY, connect_timeout_s=5, read_timeout_s=30)
    try:
        served = await ask_served_model(server, "whatever")
        assert served.dialect is Dialect.LLAMA_CPP
        assert served.context_tokens == CONTEXT_TOKENS
        assert not served.is_guess
        assert await count_tokens(server, "whatever", "hello there") == 2
    finally:
        await server.close()


async def test_a_long_conversation_is_trimmed_to_the_servers_window(engine: Engine) -> None:
    turns = [Turn(role, "hello there, how are you? " * 6) for role in (Role.USER, Role.ASSISTANT)]
    request = GenerationRequest("far", (*turns * 30, Turn(Role.USER, "and now?")), GREEDY)
    got = await read(engine, request)
    assert got.finished.error is None
    assert got.finished.usage.dropped_turns > 0
    assert CONTEXT_TOKENS // 4 < got.finished.usage.prompt_tokens < CONTEXT_TOKENS


async def test_a_question_beyond_the_window_is_cut_and_answered(engine: Engine) -> None:
    got = await read(engine, request_for("far", "x! " * 4000 + "hello?", GREEDY))
    assert got.finished.error is None
    assert got.finished.usage.cut_tokens > 0


async def test_the_wrong_key_is_told(entry: ModelEntry) -> None:
    engine = OpenAIEngine({"far": entry.model_copy(update={"api_key": None})})
    last = (await read(engine, request_for("far", "hello", GREEDY))).finished
    assert last.reason is FinishReason.ERROR
    assert "refuses this bot's key" in (last.error or "")
    await engine.close()


def _at_work(url: str) -> int:
    """Slots at work, as the server says."""
    address = url.removesuffix("/v1") + "/slots"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as page:
        slots: list[dict[str, Any]] = json.load(page)
    return sum(bool(slot["is_processing"]) for slot in slots)
