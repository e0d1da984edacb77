"""The remote engine against a real server: vLLM on loopback, serving the embedded model.

Not part of `make test`: `make test-remote` makes the server's environment and runs this file.
"""

import asyncio
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

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
from bot.engine.served_model import ask_served_model, count_tokens
from bot.engine.transformers_engine import TransformersEngine
from bot.errors import BrokenModel
from bot.library import BUILTIN_FOLDER
from config.catalogue import Catalogue, ModelEntry
from config.owner_models import OwnerModel, catalogue_with
from scripts.model_server_environment import VENV, is_ready
from tests.contract.engine_contract import EngineContract
from tests.engine.reading import read, request_for
from tests.remote.server_process import free_port, running

ROOT = Path(__file__).parents[2]
MODEL = "served"
KEY = "loopback-key"
CONTEXT_TOKENS = 512
GREEDY = SamplingParameters(temperature=0.0, max_tokens=24)


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server."""
    assert is_ready(VENV), "run: make test-remote"
    port = free_port()
    command = [
        *(VENV / "bin" / "python", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", BUILTIN_FOLDER, "--served-model-name", MODEL, "--dtype", "float32"),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(CONTEXT_TOKENS)),
        "--enforce-eager",
    ]
    environment = {
        "VLLM_API_KEY": KEY,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "HF_HUB_OFFLINE": "1",
    }
    with running(command, environment, port, tmp_path_factory.mktemp("server") / "log"):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def entry(url: str) -> ModelEntry:
    """The catalogue entry, through the loader that an owner's table goes through."""
    table = {"engine": "openai", "endpoints": [url], "remote_model": MODEL, "api_key": KEY}
    return catalogue_with({"far": OwnerModel.model_validate(table)}).get("far")


@pytest.fixture
async def engine(entry: ModelEntry) -> AsyncGenerator[OpenAIEngine]:
    engine = OpenAIEngine({"far": entry})
    yield engine
    await engine.close()


class TestOpenAIEngineOverVllm(EngineContract):
    """The contract's third column."""

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
            assert remote.finished.usage.generated_tokens in (
                local.finished.usage.generated_tokens,
                local.finished.usage.generated_tokens + 1,  # vLLM counts the token that ends it
            )
    finally:
        await here.close()


async def test_leaving_the_block_stops_the_server(engine: OpenAIEngine, url: str) -> None:
    """vLLM itself says how many answers it is at work on."""
    long = SamplingParameters(temperature=1.0, max_tokens=480, repetition_penalty=1.5, stop=("§",))
    async with engine.stream(request_for("far", "tell me a long story", long)) as stream:
        async for event in stream:
            assert isinstance(event, TextDelta)
            break
        running = await asyncio.to_thread(_running, url)
    assert running == 1
    async with asyncio.timeout(20):
        while await asyncio.to_thread(_running, url) > 0:  # noqa: ASYNC110 - it tells when asked
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


async def test_every_sampling_parameter_is_taken(engine: Engine) -> None:
    sampling = SamplingParameters(
        temperature=0.9, top_k=20, top_p=0.9, min_p=0.05, repetition_penalty=1.1, max_tokens=8
    )
    assert (await read(engine, request_for("far", "hello", sampling))).finished.error is None


async def test_the_server_tells_its_window_and_counts_tokens(url: str) -> None:
    server = ChatServer(url, KEY, connect_timeout_s=5, read_timeout_s=30)
    try:
        served = await ask_served_model(server, MODEL)
        assert served.context_tokens == CONTEXT_TOKENS
        assert served.has_tokenizer
        assert await count_tokens(server, MODEL, "hello there") == 2
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


async def test_the_wrong_model_and_the_wrong_key_are_told(entry: ModelEntry) -> None:
    for changes, words in (
        ({"remote_model": "no-such-model"}, "does not know far"),
        ({"api_key": None}, "refuses this bot's key"),
    ):
        engine = OpenAIEngine({"far": entry.model_copy(update=changes)})
        last = (await read(engine, request_for("far", "hello", GREEDY))).finished
        assert last.reason is FinishReason.ERROR
        assert words in (last.error or "")
        await engine.close()
    engine = OpenAIEngine({"far": entry.model_copy(update={"remote_model": "no-such-model"})})
    with pytest.raises(BrokenModel, match=f"it serves: {MODEL}"):
        await engine.load("far")
    await engine.close()


def test_a_chat_in_the_terminal_goes_through_the_server(url: str, tmp_path: Path) -> None:
    (tmp_path / "fireside.toml").write_text(
        f'model = "far"\n[models.far]\nengine = "openai"\nendpoints = ["{url}"]\n'
        f'remote_model = "{MODEL}"\napi_key_variable = "FAR_KEY"\n'
    )
    foreign = {name: value for name, value in os.environ.items() if "FIRESIDE" not in name}
    environment = {
        **foreign,
        "FIRESIDE_DATA_DIR": str(tmp_path / "data"),
        "FAR_KEY": KEY,
        "PYTHONPATH": str(ROOT),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "bot", "chat"],
        input=b"hello\nhow are you?\nquit\n",
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        timeout=100,
    )
    lines = ended.stdout.decode().splitlines()
    assert ended.returncode == 0, ended.stderr.decode()
    answers = [line for line in lines if line.startswith("Chatbot: ")]
    assert len(answers) == 3
    assert "server" not in ended.stdout.decode()
    assert KEY not in ended.stdout.decode() + ended.stderr.decode()


def _running(url: str) -> int:
    """Answers at work, as vLLM's metrics say."""
    metrics = url.removesuffix("/v1") + "/metrics"
    with urllib.request.urlopen(metrics, timeout=10) as page:
        text = page.read().decode()
    found = re.findall(r"^vllm:num_requests_running\{[^}]*\} ([\d.]+)$", text, re.MULTILINE)
    assert found, "vLLM tells no count of running requests"
    return int(sum(map(float, found)))
