"""How servers differ that speak OpenAI's protocol: what they say of a model, and how they answer.

After llama.cpp's `tools/server`, Ollama's packages `openai` and `server`, and LM Studio's pages on
its REST API v0. All serve one model with a window of 512 tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Page = Callable[[dict[str, Any]], dict[str, Any]]

WINDOW = 512

PROTOCOL = frozenset(
    {"model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "seed",
     "stop"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server. `listed` is its model in `/v1/models`, `pages` what it has beside.

    `known` are the parameters that it heeds: others are passed over by the real one, and so must
    not be sent. `beside` stands in every delta, `opening` in one before the first word.
    """

    name: str
    model: str
    listed: Mapping[str, Any]
    known: frozenset[str]
    pages: Mapping[str, Page] = field(default_factory=dict[str, Page])
    opening: Mapping[str, Any] | None = None
    beside: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reasoning: str = "reasoning_content"
    last: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What stands beside the usage."""
    counts_cached: bool = True
    serves_any_name: bool = False
    too_long: str | None = None
    """What it says of a prompt beyond its window; None where it cuts it without a word."""


def ollama_tag(name: str, family: str = "qwen3", **more: object) -> dict[str, Any]:
    """A model in Ollama's own list."""
    details = {"format": "gguf", "family": family, "parameter_size": "4.0B"}
    return {"name": name, "model": name, "size": 2_497_293_931, "details": details, **more}


def lm_studio_model(name: str, type: str = "llm", **more: object) -> dict[str, Any]:  # noqa: A002
    """A model in LM Studio's own list."""
    return {
        "id": name,
        "object": "model",
        "type": type,
        "publisher": "lmstudio-community",
        "arch": "qwen2",
        "compatibility_type": "gguf",
        "quantization": "Q4_K_M",
        "state": "not-loaded",
        "max_context_length": 32768,
        **more,
    }


VLLM = Dialect(
    name="vllm",
    model="served/model",
    listed={"id": "served/model", "owned_by": "vllm", "max_model_len": WINDOW},
    known=PROTOCOL
    | {"max_completion_tokens", "top_k", "min_p", "repetition_penalty", "chat_template_kwargs"},
    pages={"/tokenize": lambda body: {"tokens": str(body["prompt"]).split()}},
    opening={"role": "assistant", "content": ""},
    too_long=f"This model's maximum context length is {WINDOW} tokens.",
)

LLAMA_CPP = Dialect(
    name="llama.cpp",
    model="served-model",
    listed={
        "id": "/models/tiny-Q4_K_M.gguf",
        "object": "model",
        "owned_by": "llamacpp",
        "meta": {"vocab_type": 2, "n_vocab": 4096, "n_ctx_train": 32768, "n_params": 1000},
    },
    known=PROTOCOL | {"top_k", "min_p", "repeat_penalty", "chat_template_kwargs"},
    pages={
        "/props": lambda _body: {
            "default_generation_settings": {"id": 0, "n_ctx": WINDOW, "params": {}},
            "total_slots": 4,
            "model_path": "/models/tiny-Q4_K_M.gguf",
            "modalities": {"vision": False, "audio": False},
        },
        "/tokenize": lambda body: {"tokens": [*range(len(str(body["content"]).split()))]},
    },
    opening={"role": "assistant", "content": None},
    last={"timings": {"prompt_n": 1, "predicted_n": 3, "predicted_per_second": 100.0}},
    serves_any_name=True,
    too_long="the request exceeds the available context size, try increasing it",
)

OLLAMA = Dialect(
    name="ollama",
    model="tiny",
    listed={"id": "tiny:latest", "object": "model", "created": 1, "owned_by": "library"},
    known=PROTOCOL | {"reasoning_effort"},
    pages={
        "/api/show": lambda _body: {
            "capabilities": ["completion", "thinking"],
            "parameters": 'stop                           "<|im_end|>"',
            "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
        },
        "/api/tags": lambda _body: {
            "models": [
                ollama_tag("tiny:latest"),
                ollama_tag("nomic-embed-text:latest", family="nomic-bert"),
                ollama_tag("huge:cloud", remote_host="https://ollama.example:443"),
            ]
        },
        "/api/ps": lambda _body: {
            "models": [{"name": "tiny:latest", "model": "tiny:latest", "context_length": WINDOW}]
        },
    },
    beside={"role": "assistant", "content": ""},
    reasoning="reasoning",
    counts_cached=False,
)

LM_STUDIO = Dialect(
    name="lm-studio",
    model="tiny-instruct",
    listed={"id": "tiny-instruct", "object": "model", "owned_by": "organization_owner"},
    known=PROTOCOL | {"top_k", "repeat_penalty", "chat_template_kwargs"},
    pages={
        "/api/v0/models": lambda _body: {
            "object": "list",
            "data": [
                lm_studio_model("tiny-instruct", state="loaded", loaded_context_length=WINDOW),
                lm_studio_model("tiny-eyes", type="vlm"),
                lm_studio_model("text-embedding-nomic-embed-text-v1.5", type="embeddings"),
            ],
        },
    },
    opening={"role": "assistant"},
    too_long="Trying to keep the first tokens when context overflows: context length exceeded",
)

DIALECTS = (VLLM, LLAMA_CPP, OLLAMA, LM_STUDIO)
