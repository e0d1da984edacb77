"""A request in the words of OpenAI's protocol, and what to leave out where a server refuses it.

The protocol's own parameters are `temperature`, `top_p`, `max_tokens`, `seed` and `stop`; `top_k`,
`min_p`, `repetition_penalty` and `chat_template_kwargs` are what vLLM and SGLang add, and llama.cpp
with one name changed; others pass over them or refuse. Ollama takes none of them, and switches
reasoning off in a way of its own. `no_repeat_ngram_size` and `best_of` have no counterpart.
"""

import re
from collections.abc import Mapping

from bot.engine.base import GenerationRequest
from bot.engine.remote.discovery import Dialect, ServedModel, count_tokens
from bot.engine.remote.endpoints import Endpoint
from bot.engine.remote.model import RemoteModel
from bot.engine.remote.prompt import (
    EstimatingTokenizer,
    build_remote_prompt,
    messages_of,
    size_of,
)
from bot.engine.text.prompt import Prompt

MAX_STOP = 4
"""The protocol takes so many stop strings; further ones are watched for here."""

NEAR_SHARE = 0.5
"""An estimate above this share of the window is checked with the server's tokenizer."""

UNEVEN = 1.05
"""Parts of a text have more tokens a byte than the whole."""

SHORTER = 0.75
"""What is left of the window in our reckoning each time a server says that a prompt is too long."""

TOO_LONG = re.compile(
    r"context.{0,20}(length|size|window|exceed)|exceed.{0,20}context|input_tokens"
    r"|too (long|many tokens)",
    re.IGNORECASE,
)
"""What vLLM, llama.cpp and hosted services say of a prompt that does not fit."""

ESSENTIAL = frozenset({"model", "messages", "stream"})

ADDED: Mapping[Dialect, Mapping[str, str]] = {
    Dialect.OPENAI: {name: name for name in ("top_k", "min_p", "repetition_penalty")},
    Dialect.LLAMA_CPP: {
        "top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty",
    },
    Dialect.LM_STUDIO: {"top_k": "top_k", "repetition_penalty": "repeat_penalty"},
    Dialect.OLLAMA: {},
}  # fmt: skip
"""What a server calls the sampling parameters that are not the protocol's."""

NO_EFFORT = re.compile(r"reasoning value")
"""What older versions of Ollama say of the reasoning effort "none"."""

NEWER_MAX_TOKENS = "max_completion_tokens"
"""What OpenAI's reasoning models call `max_tokens`, and refuse the old name."""


class RemoteRequest:
    """One request, for whichever server it goes to."""

    def __init__(self, remote: RemoteModel, request: GenerationRequest) -> None:
        self._remote = remote
        self._request = request
        self._window_share = 1.0
        self._served = ServedModel()
        self.prompt = Prompt((), request.sampling.max_tokens)

    async def prepare(self, endpoint: Endpoint) -> None:
        """Build the prompt for a server's window. Raises `ServerFault`."""
        served = self._served = await self._remote.served(endpoint)
        window = int(self._window(served) * self._window_share)
        tokenizer = EstimatingTokenizer()
        turns = self._request.turns[-1:] if self._request.is_raw else self._request.turns
        if served.has_tokenizer and len(tokenizer.render(turns)) > NEAR_SHARE * window:
            text = "\n".join(turn.text for turn in turns)
            server = self._remote.server(endpoint)
            count = await count_tokens(server, self._remote.name_at_server, text)
            if count is not None:
                tokenizer = EstimatingTokenizer(size_of(text) / (count * UNEVEN))
        self.prompt = build_remote_prompt(
            self._request.turns,
            tokenizer,
            window,
            self._request.sampling.max_tokens,
            has_system_prompt=self._remote.entry.has_system_prompt,
            is_raw=self._request.is_raw,
        )

    def body(self, endpoint: Endpoint) -> dict[str, object]:
        """What is sent, without what this server has refused."""
        sampling = self._request.sampling
        refused = self._remote.refused[endpoint]
        length = NEWER_MAX_TOKENS if "max_tokens" in refused else "max_tokens"
        optional: dict[str, object] = {
            "temperature": sampling.temperature,
            length: self.prompt.max_tokens,
            "stream_options": {"include_usage": True},
            **self._without_reasoning(),
        }
        extra = {
            "top_p": sampling.top_p if sampling.top_p < 1 else None,
            "seed": sampling.seed,
            "stop": [text for text in sampling.stop if text][:MAX_STOP] or None,
            **self._added(),
        }
        optional |= {name: value for name, value in extra.items() if value is not None}
        return {
            "model": self._remote.name_at_server,
            "messages": messages_of(self.prompt),
            "stream": True,
            **{name: value for name, value in optional.items() if name not in refused},
        }

    async def adapt(self, endpoint: Endpoint, body: Mapping[str, object], complaint: str) -> bool:
        """After a refusal: leave out what the server complains of, or shorten the prompt.

        Returns False where neither is the matter.
        """
        named = {name for name in body if re.search(rf"\b{name}\b", complaint)} - ESSENTIAL
        if TOO_LONG.search(complaint):
            self._window_share *= SHORTER
            await self.prepare(endpoint)
            return True
        if NO_EFFORT.search(complaint):
            named |= {"reasoning_effort"} & set(body)
        self._remote.refused[endpoint] |= named
        return bool(named)

    def _added(self) -> Mapping[str, object]:
        """Sampling parameters that are not the protocol's, as this server calls them."""
        sampling = self._request.sampling
        chosen = {
            "top_k": sampling.top_k or None,
            "min_p": sampling.min_p or None,
            "repetition_penalty": (
                None if sampling.repetition_penalty == 1 else sampling.repetition_penalty
            ),
        }
        return {theirs: chosen[ours] for ours, theirs in ADDED[self._served.dialect].items()}

    def _without_reasoning(self) -> Mapping[str, object]:
        """Reasoning is switched off where the model knows how; others ignore it."""
        if self._served.dialect is not Dialect.OLLAMA:
            return {"chat_template_kwargs": {"enable_thinking": False}}
        return {"reasoning_effort": "none"} if "thinking" in self._served.capabilities else {}

    def _window(self, served: ServedModel) -> int:
        """The server's window, within what the owner states; a guess where neither says it."""
        entry = self._remote.entry
        if served.context_tokens is None:
            return entry.context_tokens
        if entry.assumes_context:
            return served.context_tokens
        return min(served.context_tokens, entry.context_tokens)
