"""The remote engine against llama.cpp's own server on loopback, serving the embedded model.

Not part of `make test`: `make test-llama-server LLAMA_SERVER=/path/to/llama-server` runs this file.
"""

import json
import os
import tomllib
import urllib.request
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gguf
import pytest
from typing_extensions import override

from bot.cli.found_models import take
from bot.cli.invocation import Invocation
from bot.engine.base import (
    Engine,
    FinishReason,
    SamplingParameters,
)
from bot.engine.remote.client import ChatServer
from bot.engine.remote.discovery import Dialect, ask_served_model, count_tokens
from bot.engine.remote.engine import OpenAIEngine
from bot.engine.remote.local_servers import USUAL, served_here
from bot.models.library import BUILTIN_FOLDER
from config.catalogue import ModelEntry
from config.owner_models import OwnerModel, catalogue_with
from tests.engine.reading import read, request_for
from tests.gguf_file import write_gguf
from tests.real_servers.real_server_contract import CONTEXT_TOKENS, GREEDY, RealServerContract
from tests.real_servers.server_process import free_port, running

KEY = "loopback-key"
ANSWERS_AT_ONCE = 4
LLAMA_SERVER_CALL = USUAL[2][1]


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


@pytest.fixture(scope="session", name="file")
def file_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as a GGUF file."""
    file = tmp_path_factory.mktemp("model") / "fireside.gguf"
    write_gguf(BUILTIN_FOLDER, file, gguf.GGMLQuantizationType.F32)
    return file


@pytest.fixture(scope="session")
def url(file: Path) -> Iterator[str]:
    """The address of a running server that asks for a key."""
    with serving(file, "--api-key", KEY) as url:
        yield url


@contextmanager
def serving(file: Path, *options: str) -> Generator[str]:
    """Run a server of the file while the block runs; gives its address."""
    program = os.environ.get("LLAMA_SERVER", "")
    assert program, "run: make test-llama-server LLAMA_SERVER=/path/to/llama-server"
    port = free_port()
    command = [
        *(program, "--model", file, *options),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--ctx-size", str(CONTEXT_TOKENS * ANSWERS_AT_ONCE), "--parallel", str(ANSWERS_AT_ONCE)),
        *("--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off", "--no-webui"),
    ]
    with running(command, {}, port, file.with_name(f"log-{port}")):
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


class TestOpenAIEngineOverLlamaCpp(RealServerContract):
    """The contract over llama.cpp."""

    @override
    def at_work(self, url: str) -> int:
        """Slots at work, as the server says."""
        address = url.removesuffix("/v1") + "/slots"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=10) as page:
            slots: list[dict[str, Any]] = json.load(page)
        return sum(bool(slot["is_processing"]) for slot in slots)


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


async def test_the_server_is_found_at_its_port_and_the_entry_made_of_it_answers(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(file) as url:
        (found,) = await served_here([(port_of(url), LLAMA_SERVER_CALL)], 10)
        assert (found.server, found.url, found.short_name) == ("llama-server", url, "fireside")
        name, written = take(Invocation(), found)
        table = tomllib.loads(written.read_text())["models"][name]
        entry = catalogue_with({name: OwnerModel.model_validate(table)}).get(name)
        engine = OpenAIEngine({name: entry})
        got = await read(engine, request_for(name, "hello", GREEDY))
        await engine.close()
    assert got.finished.error is None
    assert got.text
    assert entry.title == "fireside"


async def test_a_server_that_asks_for_a_key_is_not_offered(url: str) -> None:
    assert await served_here([(port_of(url), LLAMA_SERVER_CALL)], 10) == []


async def test_the_wrong_key_is_told(entry: ModelEntry) -> None:
    engine = OpenAIEngine({"far": entry.model_copy(update={"api_key": None})})
    last = (await read(engine, request_for("far", "hello", GREEDY))).finished
    assert last.reason is FinishReason.ERROR
    assert "refuses this bot's key" in (last.error or "")
    await engine.close()
