"""What vLLM, llama.cpp and Ollama say of a model in their own ways, and what each is sent."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from bot.conversation import Role, Turn
from bot.engine.base import FinishReason, GenerationRequest, SamplingParameters
from bot.engine.remote.engine import OpenAIEngine
from bot.errors import BrokenModel, EngineUnavailable
from tests.doubles.dialects import DIALECTS, LLAMA_CPP, OLLAMA, VLLM, WINDOW, Dialect
from tests.doubles.model_server import ModelServer, Refusal, Stream
from tests.engine.reading import read
from tests.engine.remote.asking import Clock, answer, ask, failed
from tests.engine.remote.conftest import MakeEngine

LOADING = Refusal(503, "Loading model", "unavailable_error")


@pytest.fixture(params=DIALECTS, ids=[dialect.name for dialect in DIALECTS])
async def server(request: pytest.FixtureRequest) -> AsyncGenerator[ModelServer]:
    async with ModelServer(cast("Dialect", request.param)).serving() as serving:
        yield serving


def spoken(*dialects: Dialect) -> pytest.MarkDecorator:
    """The dialects that a test is about."""
    names = [dialect.name for dialect in dialects]
    return pytest.mark.parametrize("server", dialects, ids=names, indirect=True)


def words_sent(server: ModelServer) -> int:
    """The words of the last prompt: the loopback server counts them as tokens."""
    return sum(len(message["content"].split()) for message in server.last["messages"])


async def ask_at_length(engine: OpenAIEngine) -> None:
    """A conversation of 1600 words."""
    turns = [Turn(role, "word " * 40) for role in (Role.USER, Role.ASSISTANT) * 20]
    sampling = SamplingParameters(max_tokens=64)
    request = GenerationRequest("far", (*turns, Turn(Role.USER, "why?")), sampling)
    assert (await read(engine, request)).finished.error is None


async def test_every_server_tells_its_window(engine: OpenAIEngine, server: ModelServer) -> None:
    await ask_at_length(engine)
    assert WINDOW * 0.2 < words_sent(server) < WINDOW - 64


async def test_words_reasoning_and_usage_are_understood(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.plan.append(Stream(thinks=("Let me ", "see."), words=("Be", "cause.")))
    got = await answer(engine)
    assert (got.reasoning, got.text) == ("Let me see.", "Because.")
    assert got.finished.reason is FinishReason.STOP
    usage = got.finished.usage
    cached = 2 if server.dialect.counts_cached else 0
    assert (usage.prompt_tokens, usage.generated_tokens, usage.cached_tokens) == (1, 2, cached)


async def test_every_server_is_sent_what_it_heeds(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    """The loopback server fails the test at a parameter that the real one would pass over."""
    await answer(engine, top_p=0.9, top_k=20, min_p=0.1, repetition_penalty=1.1, seed=7)
    sent = server.last
    assert {"top_p": 0.9, "seed": 7}.items() <= sent.items()
    match server.dialect.name:
        case "vllm":
            assert (sent["top_k"], sent["repetition_penalty"]) == (20, 1.1)
        case "llama.cpp":
            assert (sent["top_k"], sent["min_p"], sent["repeat_penalty"]) == (20, 0.1, 1.1)
        case "lm-studio":
            assert (sent["top_k"], sent["repeat_penalty"]) == (20, 1.1)
        case _:
            assert not {"top_k", "min_p", "repetition_penalty"} & set(sent)


async def test_reasoning_is_switched_off_in_the_servers_own_way(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    await answer(engine)
    switched = {
        name: server.last[name]
        for name in ("chat_template_kwargs", "reasoning_effort")
        if name in server.last
    }
    if server.dialect is OLLAMA:
        assert switched == {"reasoning_effort": "none"}
    else:
        assert switched == {"chat_template_kwargs": {"enable_thinking": False}}


@spoken(OLLAMA)
async def test_a_model_that_does_not_think_is_not_told_to_stop(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    server.pages["/api/show"] = lambda _body: {"capabilities": ["completion"]}
    await answer(engine)
    assert "reasoning_effort" not in server.last


@spoken(OLLAMA)
async def test_a_version_that_does_not_know_the_word_is_asked_without_it(
    engine: OpenAIEngine, server: ModelServer
) -> None:
    message = 'invalid reasoning value: \'none\' (must be "high", "medium", or "low")'
    server.plan.append(Refusal(400, message, "invalid_request_error"))
    assert (await answer(engine)).finished.error is None
    assert "reasoning_effort" not in server.last


@spoken(LLAMA_CPP, OLLAMA)
async def test_the_model_goes_by_the_names_that_the_server_takes(
    make: MakeEngine, server: ModelServer
) -> None:
    names = {"llama.cpp": ("whatever", "served-model"), "ollama": ("tiny", "tiny:latest")}
    for name in names[server.dialect.name]:
        engine = make(server, remote_model=name)
        await engine.load("far")
        assert (await answer(engine)).finished.error is None
        assert server.last["model"] == name


@spoken(OLLAMA)
async def test_a_model_that_was_not_pulled_is_told(make: MakeEngine, server: ModelServer) -> None:
    engine = make(server, remote_model="qwen3:8b")
    assert "does not know far" in failed(await answer(engine))
    with pytest.raises(BrokenModel, match="it serves: tiny:latest"):
        await engine.load("far")


def routes(server: ModelServer, status: str) -> None:
    """Make llama.cpp's server one that loads models as they are asked for."""
    listed: dict[str, Any] = {
        "id": "tiny-GGUF",
        "aliases": ["tiny"],
        "owned_by": "llamacpp",
        "status": {"value": status},
    }
    server.models[:] = [listed]


@spoken(LLAMA_CPP)
async def test_a_router_knows_its_models_by_name_and_alias(
    make: MakeEngine, server: ModelServer
) -> None:
    routes(server, "loaded")
    for name in ("tiny-GGUF", "tiny"):
        await make(server, remote_model=name).load("far")
    with pytest.raises(BrokenModel, match="it serves: tiny-GGUF"):
        await make(server, remote_model="other").load("far")


@spoken(LLAMA_CPP)
async def test_the_window_of_a_model_that_a_router_has_not_loaded_is_asked_for_again(
    make: MakeEngine, server: ModelServer
) -> None:
    routes(server, "unloaded")
    props = server.pages.pop("/props")
    engine = make(server, remote_model="tiny")
    assert (await answer(engine)).finished.error is None
    server.pages["/props"] = props
    await ask_at_length(engine)
    assert words_sent(server) < WINDOW - 64


@spoken(LLAMA_CPP)
async def test_a_window_in_the_list_is_enough(engine: OpenAIEngine, server: ModelServer) -> None:
    """Newer versions list one slot's share beside what the model was trained with."""
    del server.pages["/props"]
    server.models[0]["meta"] = {"n_ctx": 256, "n_ctx_train": 32768}
    await ask_at_length(engine)
    assert words_sent(server) < 256 - 64


@spoken(OLLAMA)
async def test_the_window_of_a_model_that_is_not_loaded_is_a_guess_until_it_is(
    make: MakeEngine, server: ModelServer
) -> None:
    running = server.pages["/api/ps"]
    server.pages["/api/ps"] = lambda _body: {"models": []}
    engine = make(server)
    await ask_at_length(engine)
    assert words_sent(server) > WINDOW, "Ollama's default is larger"
    server.pages["/api/ps"] = running
    await ask_at_length(engine)
    assert words_sent(server) < WINDOW - 64


@spoken(OLLAMA)
async def test_a_window_that_the_model_sets_itself_holds(
    make: MakeEngine, server: ModelServer
) -> None:
    server.pages["/api/ps"] = lambda _body: {"models": []}
    server.pages["/api/show"] = lambda _body: {"parameters": "temperature 0.6\nnum_ctx 256"}
    await ask_at_length(make(server))
    assert words_sent(server) < 256 - 64


@spoken(VLLM, LLAMA_CPP)
async def test_a_prompt_that_is_too_long_is_shortened(
    make: MakeEngine, server: ModelServer
) -> None:
    """Words of one letter have more tokens a byte than is reckoned with."""
    server.pages.pop("/tokenize")
    got = await answer(make(server), "a " * 2000 + "END?", max_tokens=16)
    assert got.finished.error is None
    assert server.last["messages"][-1]["content"].endswith("END?")


@spoken(LLAMA_CPP)
async def test_a_server_that_still_loads_the_model_is_waited_for(
    engine: OpenAIEngine, server: ModelServer, clock: Clock
) -> None:
    server.plan.append(LOADING)
    assert (await answer(engine)).finished.error is None
    assert clock.slept == [6]


@spoken(LLAMA_CPP)
async def test_a_server_that_loads_for_long_is_told_and_its_window_asked_for_afterwards(
    engine: OpenAIEngine, server: ModelServer, clock: Clock
) -> None:
    server.loading = LOADING
    assert "still loading it" in failed(await answer(engine))
    with pytest.raises(EngineUnavailable, match="still loading it"):
        await engine.load("far")
    server.loading = None
    clock.now_s += 60
    await ask_at_length(engine)
    assert words_sent(server) < WINDOW - 64


@spoken(LLAMA_CPP)
async def test_a_list_that_is_public_does_not_hide_a_wrong_key(
    make: MakeEngine, server: ModelServer
) -> None:
    """llama.cpp lists its model to everybody; `/props` and answers need the key."""
    server.refuses_pages = Refusal(401, "Invalid API Key", "authentication_error")
    with pytest.raises(EngineUnavailable, match="refuses this bot's key"):
        await make(server).load("far")


@pytest.mark.parametrize("status", [403, 408, 500])
async def test_what_a_gateway_says_of_other_pages_matters_to_no_question(
    make: MakeEngine, server: ModelServer, status: int
) -> None:
    """A gateway in front of the server may let through questions alone."""
    server.refuses_pages = Refusal(status, "Forbidden", "forbidden")
    engine = make(server)
    await engine.load("far")
    assert (await answer(engine)).finished.error is None


@spoken(OLLAMA)
async def test_a_full_queue_is_a_busy_server(
    engine: OpenAIEngine, server: ModelServer, clock: Clock
) -> None:
    message = "server busy, please try again.  maximum pending requests exceeded"
    server.plan.append(Refusal(503, message))
    assert (await answer(engine)).finished.error is None
    assert clock.slept == [2]


@spoken(LLAMA_CPP)
@pytest.mark.parametrize("field", ["error", "data"])
async def test_an_error_in_the_middle_is_told(
    engine: OpenAIEngine, server: ModelServer, field: str
) -> None:
    """Older versions of llama.cpp's server send it in a field of its own."""
    error = '{"code": 500, "message": "slot failed", "type": "server_error"}'
    event = f"error: {error}" if field == "error" else f'data: {{"error": {error}}}'
    broken = Stream(events=(event,), cut_after=0, ends_early=True)
    server.plan.extend([broken] * 3)
    assert "failed" in failed(await answer(engine))
    server.plan.append(broken)
    assert (await read(engine, ask())).finished.error is None
