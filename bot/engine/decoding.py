"""One row: a prompt, its cache and the tokens said so far, advanced by one forward pass a step.

Only the engine's worker thread imports this module. A later slot cache steps many rows in one
forward pass; what a row is stays the same.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' model calls are untyped; what leaves this module is typed.

import copy
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from bot.engine.base import SamplingParameters
from bot.engine.checkpoint import Checkpoint
from bot.engine.sampling import choose, followers, log_probability, seeded_generator, without

PREFILL_CHUNK = 256
"""Prompt tokens a step: a long prompt takes several steps, so that others go on meanwhile."""


class BrokenNumbers(Exception):  # noqa: N818 - translated to BrokenModel by its caller
    """The model gave logits that are not numbers."""


class Feeding(Protocol):
    """How a row's tokens go through its model."""

    def advance(self) -> torch.Tensor | None:
        """One forward pass; the logits [vocabulary] once all tokens are fed, until then None."""
        ...

    def push(self, token: int) -> None:
        """Feed this token at the next pass."""
        ...

    def fork(self) -> "Feeding":
        """An independent copy, cache included."""
        ...

    @property
    def history(self) -> Sequence[int]:
        """What counts as said for penalties: with a decoder-only model, the prompt too."""
        ...

    @property
    def source(self) -> Sequence[int]:
        """What the encoder was given; nothing for decoder-only models."""
        ...


class CausalFeeding:
    """Decoder-only: the prompt in chunks, then token by token; `cached` ids are in the cache."""

    source: Sequence[int] = ()

    def __init__(
        self,
        checkpoint: Checkpoint,
        ids: Sequence[int],
        reused: tuple[DynamicCache, int] | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self.cache, self.fed = reused or (DynamicCache(config=checkpoint.model.config), 0)
        self.history = list(ids)

    @property
    def cached_ids(self) -> list[int]:
        """The ids that the cache holds."""
        return self.history[: self.fed]

    def advance(self) -> torch.Tensor | None:
        """One chunk."""
        chunk = self.history[self.fed : self.fed + PREFILL_CHUNK]
        device = self._checkpoint.blueprint.device
        with torch.inference_mode():
            output = self._checkpoint.model(
                input_ids=torch.tensor([chunk], device=device),
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.fed += len(chunk)
        is_last = self.fed == len(self.history)
        return cast("torch.Tensor", output.logits[0, -1]).float() if is_last else None

    def push(self, token: int) -> None:
        """The token is fed at the next pass."""
        self.history.append(token)

    def fork(self) -> "CausalFeeding":
        """A copy with a cache of its own."""
        with torch.inference_mode():
            cache = copy.deepcopy(self.cache)
        return CausalFeeding(self._checkpoint, self.history, (cache, self.fed))


class EncoderDecoderFeeding:
    """Encoder-decoder: the encoder once over the whole prompt, then the decoder token by token."""

    def __init__(self, checkpoint: Checkpoint, ids: Sequence[int]) -> None:
        assert checkpoint.start_id is not None
        self._checkpoint = checkpoint
        self.source = list(ids)
        self.history = [checkpoint.start_id]
        self._encoded: torch.Tensor | None = None
        config = checkpoint.model.config
        self._cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))

    def advance(self) -> torch.Tensor | None:
        """The encoder at first, afterwards one decoder step."""
        device = self._checkpoint.blueprint.device
        with torch.inference_mode():
            if self._encoded is None:
                encoder = self._checkpoint.model.get_encoder()
                source = torch.tensor([self.source], device=device)
                self._encoded = encoder(input_ids=source).last_hidden_state
                return None
            output = self._checkpoint.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
                decoder_input_ids=torch.tensor([self.history[-1:]], device=device),
                past_key_values=self._cache,
                use_cache=True,
            )
        return cast("torch.Tensor", output.logits[0, -1]).float()

    def push(self, token: int) -> None:
        """The token is fed at the next pass."""
        self.history.append(token)

    def fork(self) -> "EncoderDecoderFeeding":
        """A copy with a cache of its own; what the encoder said is shared, nobody changes it."""
        forked = EncoderDecoderFeeding(self._checkpoint, self.source)
        forked.history = list(self.history)
        forked._encoded = self._encoded
        with torch.inference_mode():
            forked._cache = copy.deepcopy(self._cache)
        return forked


class Row:
    """One text being generated. `tokens` are those said; an end token ends it and is not among
    them. `total_log_probability` sums what the unfiltered model gave them, end token included.
    """

    def __init__(
        self, checkpoint: Checkpoint, feeding: Feeding, sampling: SamplingParameters, index: int = 0
    ) -> None:
        self._rules = checkpoint.rules
        self._sampling = sampling
        self._generator = seeded_generator(sampling.seed, index, checkpoint.blueprint.device)
        self.feeding = feeding
        self.tokens: list[int] = []
        self.total_log_probability = 0.0
        self.chosen = 0
        self.is_ended = False
        self.logits: torch.Tensor | None = None

    @property
    def mean_log_probability(self) -> float:
        """The mean over what was chosen."""
        return self.total_log_probability / max(self.chosen, 1)

    def advance(self) -> bool:
        """One forward pass; whether logits to choose from are there."""
        self.logits = self.feeding.advance()
        return self.logits is not None

    def choose(self) -> int | None:
        """Choose a token from the logits; None when it is an end token."""
        assert self.logits is not None
        if not bool(torch.isfinite(self.logits.max())):
            raise BrokenNumbers
        history = self.feeding.history
        token = choose(self._allowed(self.logits), history, self._sampling, self._generator)
        if self._sampling.best_of > 1:
            self.total_log_probability += log_probability(self.logits, token)
        self.chosen += 1
        if token in self._rules.eos_ids:
            self.is_ended = True
            return None
        self.tokens.append(token)
        self.feeding.push(token)
        return token

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        history = self.feeding.history
        if len(history) < self._rules.min_length:
            logits = without(logits, sorted(self._rules.eos_ids))
        size = self._rules.encoder_no_repeat_ngram_size
        if size:
            logits = without(logits, followers(history, self.feeding.source, size))
        return logits
