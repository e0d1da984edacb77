"""Finding the model servers of this machine, with doubles at their ports."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from bot.engine.remote.client import ChatServer
from bot.engine.remote.discovery import ask_served_model
from bot.engine.remote.local_servers import USUAL, Place, ServedHere, served_here
from tests.doubles.dialects import LLAMA_CPP, LM_STUDIO, OLLAMA, VLLM, lm_studio_model
from tests.doubles.model_server import ModelServer, Refusal
from tests.real_servers.server_process import free_port

OLLAMA_PORT, LM_STUDIO_PORT, LLAMA_PORT, VLLM_PORT = 11434, 1234, 8080, 8000
LONG_S = 20.0
"""For what is not about waiting: a busy machine takes its time."""


def places(urls: Mapping[int, str]) -> list[Place]:
    """The usual places with the test's servers at some; nobody listens at the others."""
    return [(port_of(urls[port]) if port in urls else free_port(), call) for port, call in USUAL]


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


@asynccontextmanager
async def another_program(
    answer: Callable[[web.Request], Any],
) -> AsyncGenerator[str]:
    """A server of something else."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def test_each_server_is_known_by_its_own_list_and_chat_models_alone_are_named() -> None:
    dialects = {
        OLLAMA_PORT: OLLAMA,
        LM_STUDIO_PORT: LM_STUDIO,
        LLAMA_PORT: LLAMA_CPP,
        VLLM_PORT: VLLM,
    }
    async with AsyncExitStack() as stack:
        urls = {
            port: (await stack.enter_async_context(ModelServer(dialect).serving())).url
            for port, dialect in dialects.items()
        }
        found = await served_here(places(urls), LONG_S)
    assert found == [
        ServedHere("Ollama", urls[OLLAMA_PORT], "tiny:latest", 2_497_293_931),
        ServedHere("LM Studio", urls[LM_STUDIO_PORT], "tiny-instruct"),
        ServedHere("LM Studio", urls[LM_STUDIO_PORT], "tiny-eyes"),
        ServedHere("llama-server", urls[LLAMA_PORT], "/models/tiny-Q4_K_M.gguf"),
        ServedHere("vLLM", urls[VLLM_PORT], "served/model"),
    ]
    assert [one.short_name for one in found][3:] == ["tiny-Q4_K_M", "served/model"]


async def test_llama_server_and_vllm_are_told_apart_at_each_others_ports() -> None:
    async with ModelServer(LLAMA_CPP).serving() as llama, ModelServer(VLLM).serving() as vllm:
        found = await served_here(places({VLLM_PORT: llama.url, LLAMA_PORT: vllm.url}), LONG_S)
    assert [one.server for one in found] == ["vLLM", "llama-server"]


async def test_where_nothing_runs_nothing_is_found() -> None:
    assert await served_here(places({})) == []


@pytest.mark.parametrize(
    "body",
    ["<html>hello</html>", "[]", "{}", '{"data": 3, "models": "all"}',
     '{"data": [7, {"id": 1}], "models": [null, {"size": 3}]}',
     '{"data": [{"id": "gpt", "owned_by": "somebody"}], "error": "Unexpected endpoint"}'],
)  # fmt: skip
async def test_another_program_is_skipped_without_a_word(body: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=body)

    async with another_program(answer) as url:
        assert (
            await served_here(
                places(dict.fromkeys((OLLAMA_PORT, LM_STUDIO_PORT, LLAMA_PORT, VLLM_PORT), url)),
                LONG_S,
            )
            == []
        )


async def test_a_program_that_never_answers_is_left_alone_after_the_wait() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError

    async with another_program(answer) as url, ModelServer(VLLM).serving() as vllm:
        found = await served_here(places({OLLAMA_PORT: url, VLLM_PORT: vllm.url}), 2)
        await asyncio.wait_for(left.wait(), LONG_S)
    assert asked.is_set()
    assert [one.server for one in found] == ["vLLM"]


async def test_a_server_that_asks_for_a_key_is_not_offered() -> None:
    async with ModelServer(LLAMA_CPP).serving() as llama, ModelServer(VLLM).serving() as vllm:
        llama.refuses_pages = Refusal(401, "Invalid API Key", "authentication_error")
        vllm.needs_key = True
        assert await served_here(places({LLAMA_PORT: llama.url, VLLM_PORT: vllm.url}), LONG_S) == []


@pytest.mark.parametrize(
    ("page", "window", "is_guess"),
    [
        ({"state": "loaded", "loaded_context_length": 8192}, 8192, False),
        ({}, 4096, True),
        ({"max_context_length": 2048}, 2048, True),
    ],
)
async def test_lm_studio_tells_the_window_that_a_model_is_loaded_with(
    page: dict[str, Any], window: int, is_guess: bool
) -> None:
    async with ModelServer(LM_STUDIO).serving() as serving:
        shown = lm_studio_model("tiny-instruct", **page)
        serving.pages["/api/v0/models"] = lambda _body: {"data": [shown]}
        server = ChatServer(serving.url, None, connect_timeout_s=5, read_timeout_s=30)
        try:
            served = await ask_served_model(server, "tiny-instruct")
        finally:
            await server.close()
    assert (served.context_tokens, served.is_guess) == (window, is_guess)
