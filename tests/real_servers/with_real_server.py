"""The remote engine against a real server: vLLM on loopback, serving the embedded model.

Not part of `make test`: `make test-remote` makes the server's environment and runs this file.
"""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from bot.engine.base import (
    Engine,
    FinishReason,
    SamplingParameters,
)
from bot.engine.remote.client import ChatServer
from bot.engine.remote.discovery import ask_served_model, count_tokens
from bot.engine.remote.engine import OpenAIEngine
from bot.errors import BrokenModel
from bot.models.library import BUILTIN_FOLDER
from config.catalogue import ModelEntry
from config.owner_models import OwnerModel, catalogue_with
from scripts.model_server_environment import VENV, is_ready
from tests.engine.reading import read, request_for
from tests.real_servers.real_server_contract import CONTEXT_TOKENS, GREEDY, RealServerContract
from tests.real_servers.server_process import free_port, running

ROOT = Path(__file__).parents[2]
MODEL = "served"
KEY = "loopback-key"


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


class TestOpenAIEngineOverVllm(RealServerContract):
    """The contract's third column."""

    @override
    def at_work(self, url: str) -> int:
        """Answers at work, as vLLM's metrics say."""
        metrics = url.removesuffix("/v1") + "/metrics"
        with urllib.request.urlopen(metrics, timeout=10) as page:
            text = page.read().decode()
        found = re.findall(r"^vllm:num_requests_running\{[^}]*\} ([\d.]+)$", text, re.MULTILINE)
        assert found, "vLLM tells no count of running requests"
        return int(sum(map(float, found)))


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
