"""What a server says of a model that it serves: the window, the abilities, how it counts tokens.

Servers tell it in different places: vLLM, SGLang and hosted services in `/v1/models`, llama.cpp
there and in `/props`, Ollama in `/api/ps` and `/api/show`, LM Studio in a list of its own. What
nobody tells is None.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast
from urllib.parse import quote

from bot.engine.remote.client import ChatServer
from bot.engine.remote.faults import Fault, ServerFault

WINDOW_KEYS = (
    "max_model_len",  # vLLM, SGLang
    "context_length",  # OpenRouter, Together and others
    "context_window",  # Groq
    "max_context_length",  # Mistral, LM Studio
)

OLLAMA_CONTEXT_TOKENS = 4096
"""Ollama's default (OLLAMA_CONTEXT_LENGTH) on a machine without a large GPU: it cuts longer prompts
without a word."""

LM_STUDIO_MODELS = "/api/v0/models"

LM_STUDIO_CONTEXT_TOKENS = 4096
"""What LM Studio loads a model with that is asked for before it is loaded, unless its owner chose
another window."""

NOT_NOW = frozenset({Fault.BUSY, Fault.LOADING})
"""Faults that say something of the server itself. With most others it has not the page that was
asked for, or something before it lets only questions through; it may well answer those."""

KEY_REFUSED = 401


class Dialect(Enum):
    """What a server adds to OpenAI's protocol, and leaves out of it."""

    OPENAI = auto()
    LLAMA_CPP = auto()
    OLLAMA = auto()
    LM_STUDIO = auto()


DIALECTS = {
    "llamacpp": Dialect.LLAMA_CPP,
    "library": Dialect.OLLAMA,
    "organization_owner": Dialect.LM_STUDIO,
}
"""By the owner that a server's list names."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model at a server. `others` are the names that are served where this one is not.

    `is_guess` says that the server tells the window only once it has loaded the model.
    """

    context_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    has_tokenizer: bool = False
    others: tuple[str, ...] = ()
    dialect: Dialect = Dialect.OPENAI
    is_guess: bool = False


async def ask_served_model(server: ChatServer, name: str) -> ServedModel:
    """Ask a server about a model. Raises `ServerFault` where the server cannot be used at all."""
    listed = await _listed(server)
    model = next((one for one in listed if name in _names(one)), None)
    owner = str((model or (listed[0] if listed else {})).get("owned_by", ""))
    # A server of one model that is no router answers to whatever name it is asked for.
    is_only = owner == "llamacpp" and "status" not in listed[0]
    if model is None and not is_only:
        others = tuple(str(one.get("id")) for one in listed)
        return ServedModel(others=others, dialect=DIALECTS.get(owner, Dialect.OPENAI))
    if owner == "llamacpp":
        return await _llama_cpp(server, name, model or listed[0])
    window = next((n for key in WINDOW_KEYS if (n := _number((model or {}).get(key)))), None)
    if owner == "vllm":
        return ServedModel(window, has_tokenizer=True)
    if owner == "library":
        guessed = window or OLLAMA_CONTEXT_TOKENS
        unknown = ServedModel(guessed, dialect=Dialect.OLLAMA, is_guess=True)
        return await _ollama(server, name) or unknown
    if DIALECTS.get(owner) is Dialect.LM_STUDIO:
        return await _lm_studio(server, name)
    if window is None:
        # Ollama under another owner's name? Whatever others say to the question means no.
        with suppress(ServerFault):
            return await _ollama(server, name) or ServedModel()
    return ServedModel(window)


async def count_tokens(server: ChatServer, name: str, text: str) -> int | None:
    """The tokens of a text, by vLLM's and llama.cpp's `/tokenize`; None where it does not answer.

    The one reads "prompt", the other "content".
    """
    with suppress(ServerFault):
        body = {"model": name, "prompt": text, "content": text, "add_special_tokens": False}
        found = await server.ask("/tokenize", body, from_root=True)
        return len(items(found.get("tokens"))) or None
    return None


async def _listed(server: ChatServer) -> Sequence[Mapping[str, Any]]:
    try:
        return [one for one in items((await server.ask("/models")).get("data")) if one]
    except ServerFault as fault:
        # A server that has no list may well answer questions.
        if fault.fault in (Fault.NO_MODEL, Fault.REQUEST_REFUSED):
            return []
        raise


def _names(model: Mapping[str, Any]) -> Sequence[str]:
    """What a model is called: llama.cpp knows aliases, and Ollama's ":latest" may be left out."""
    name = str(model.get("id"))
    return name, name.removesuffix(":latest"), *map(str, items(model.get("aliases")))


async def _llama_cpp(server: ChatServer, name: str, model: Mapping[str, Any]) -> ServedModel:
    """One slot's share of the window: newer versions list it, all tell it once it is loaded.

    A router is not made to load the model by being asked.
    """
    path = f"/props?model={quote(name, safe='')}&autoload=false"
    props = await _page(server, path) or {}
    settings = table(props.get("default_generation_settings"))
    window = _number(settings.get("n_ctx")) or _number(table(model.get("meta")).get("n_ctx"))
    modalities = [name for name, has in table(props.get("modalities")).items() if has]
    return ServedModel(
        window,
        tuple(modalities),
        has_tokenizer=True,
        dialect=Dialect.LLAMA_CPP,
        is_guess=window is None,
    )


async def _ollama(server: ChatServer, name: str) -> ServedModel | None:
    """A loaded model's window stands in `/api/ps`; else the model's own setting, or the default."""
    shown = await _page(server, "/api/show", {"model": name})
    if shown is None:
        return None
    info = table(shown.get("model_info"))
    longest = next((_number(v) for k, v in info.items() if k.endswith(".context_length")), None)
    running = await _ollama_window(server, name)
    window = running or _setting(shown) or OLLAMA_CONTEXT_TOKENS
    return ServedModel(
        min(window, longest or window),
        tuple(str(one) for one in items(shown.get("capabilities"))),
        dialect=Dialect.OLLAMA,
        is_guess=running is None,
    )


async def _lm_studio(server: ChatServer, name: str) -> ServedModel:
    """The window that a model is loaded with; older versions have no such page."""
    models = map(table, items((await _page(server, LM_STUDIO_MODELS) or {}).get("data")))
    model = next((one for one in models if one.get("id") == name), table(None))
    loaded = _number(model.get("loaded_context_length"))
    longest = _number(model.get("max_context_length"))
    likely = min(LM_STUDIO_CONTEXT_TOKENS, longest or LM_STUDIO_CONTEXT_TOKENS)
    return ServedModel(loaded or likely, dialect=Dialect.LM_STUDIO, is_guess=loaded is None)


async def _ollama_window(server: ChatServer, name: str) -> int | None:
    running = await _page(server, "/api/ps") or {}
    for model in items(running.get("models")):
        if model.get("name") in (name, f"{name}:latest"):
            return _number(model.get("context_length"))
    return None


async def _page(
    server: ChatServer, path: str, body: Mapping[str, object] | None = None
) -> Mapping[str, Any] | None:
    """A page under the server's root, or None where there is none."""
    try:
        return await server.ask(path, body, from_root=True)
    except ServerFault as fault:
        if fault.fault in NOT_NOW or fault.status == KEY_REFUSED:
            raise
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


def items(value: object) -> list[Any]:
    """What JSON should have as a list; empty where it is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def table(value: object) -> Mapping[str, Any]:
    """What JSON should have as an object; empty where it is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
