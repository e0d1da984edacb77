"""What a server says of a model that it serves: the window, the abilities, how it counts tokens.

Servers tell it in different places: vLLM, SGLang and hosted services in `/v1/models`, llama.cpp in
`/props`, Ollama in `/api/ps` and `/api/show`. What nobody tells is None.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from bot.engine.chat_api import ChatServer, Fault, ServerFault

WINDOW_KEYS = (
    "max_model_len",  # vLLM, SGLang
    "context_length",  # OpenRouter, Together and others
    "context_window",  # Groq
    "max_context_length",  # Mistral, LM Studio
)

OLLAMA_CONTEXT_TOKENS = 4096
"""Ollama's default (OLLAMA_CONTEXT_LENGTH): it cuts longer prompts without a word."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model at a server. `others` are the names that are served where this one is not."""

    context_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    has_tokenizer: bool = False
    others: tuple[str, ...] = ()


async def ask_served_model(server: ChatServer, name: str) -> ServedModel:
    """Ask a server about a model. Raises `ServerFault` where the server cannot be used at all."""
    listed = await _listed(server)
    model = next((one for one in listed if one.get("id") in (name, f"{name}:latest")), None)
    owner = str((model or (listed[0] if listed else {})).get("owned_by", ""))
    if owner == "llamacpp":
        # It serves one model, under whatever name it is asked for.
        return await _llama_cpp(server)
    if model is None:
        return ServedModel(others=tuple(str(one.get("id")) for one in listed))
    window = next((found for key in WINDOW_KEYS if (found := _number(model.get(key)))), None)
    if owner == "vllm":
        return ServedModel(window, has_tokenizer=True)
    if owner in ("library", "ollama") or window is None:
        return await _ollama(server, name) or ServedModel(window)
    return ServedModel(window)


async def count_tokens(server: ChatServer, name: str, text: str) -> int | None:
    """The tokens of a text, by vLLM's and llama.cpp's `/tokenize`; None where it does not answer.

    The one reads "prompt", the other "content".
    """
    with suppress(ServerFault):
        body = {"model": name, "prompt": text, "content": text, "add_special_tokens": False}
        found = await server.ask("/tokenize", body, from_root=True)
        return len(_list(found.get("tokens"))) or None
    return None


async def _listed(server: ChatServer) -> Sequence[Mapping[str, Any]]:
    try:
        return [one for one in _list((await server.ask("/models")).get("data")) if one]
    except ServerFault as fault:
        # A server that has no list may well answer questions.
        if fault.fault in (Fault.NO_MODEL, Fault.REQUEST_REFUSED):
            return []
        raise


async def _llama_cpp(server: ChatServer) -> ServedModel:
    """`n_ctx` is one slot's share of the window."""
    with suppress(ServerFault):
        props = await server.ask("/props", from_root=True)
        window = _number(_table(props.get("default_generation_settings")).get("n_ctx"))
        modalities = [name for name, has in _table(props.get("modalities")).items() if has]
        return ServedModel(window, tuple(modalities), has_tokenizer=True)
    return ServedModel()


async def _ollama(server: ChatServer, name: str) -> ServedModel | None:
    """A loaded model's window stands in `/api/ps`; else the model's own setting, or the default."""
    with suppress(ServerFault):
        shown = await server.ask("/api/show", {"model": name}, from_root=True)
        capabilities = tuple(str(one) for one in _list(shown.get("capabilities")))
        info = _table(shown.get("model_info"))
        longest = next((_number(v) for k, v in info.items() if k.endswith(".context_length")), None)
        window = await _ollama_window(server, name) or _setting(shown) or OLLAMA_CONTEXT_TOKENS
        return ServedModel(min(window, longest or window), capabilities)
    return None


async def _ollama_window(server: ChatServer, name: str) -> int | None:
    running = await server.ask("/api/ps", from_root=True)
    for model in _list(running.get("models")):
        if model.get("name") in (name, f"{name}:latest"):
            return _number(model.get("context_length"))
    return None


def _setting(shown: Mapping[str, Any]) -> int | None:
    """`num_ctx` among the parameters, which are lines of text."""
    for line in str(shown.get("parameters") or "").splitlines():
        match line.split():
            case ["num_ctx", value] if value.isdigit():
                return int(value)
            case _:
                pass
    return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _table(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
