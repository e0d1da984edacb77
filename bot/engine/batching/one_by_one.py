"""Rows one after another: for architectures whose rows are not known to go through one pass.

Each row has a cache of transformers' own, and the rows take turns, a forward pass each.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' model calls are untyped; what leaves this module is typed.

import copy
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, cast

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import BaseModelOutput

from bot.engine.batching.row import Row
from bot.engine.cache.prefix_cache import Prefix
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.text.families import ModelKind
from bot.engine.text.prompt import common_length

PREFILL_CHUNK = 256
"""Prompt tokens a step: a long prompt takes several steps, so that others go on meanwhile."""


class Feeding(Protocol):
    """How one row's tokens go through its model."""

    def advance(self) -> torch.Tensor | None:
        """One forward pass; the logits [vocabulary] once all tokens are fed, until then None."""
        ...

    def fork(self, row: Row) -> "Feeding":
        """An independent copy for another row, cache included."""
        ...

    def prefix(self) -> Prefix | None:
        """What was fed, if another row could begin with it."""
        ...


class CausalFeeding:
    """Decoder-only: the prompt in chunks, then token by token; `fed` tokens are in the cache."""

    def __init__(
        self, checkpoint: Checkpoint, row: Row, cache: DynamicCache | None = None, fed: int = 0
    ) -> None:
        self._checkpoint = checkpoint
        self._row = row
        self._cache = cache or DynamicCache(config=checkpoint.model.config)
        self.fed = fed

    def begin_with(self, prefix: Prefix) -> None:
        """Take over what another row was fed, as far as this row's tokens are the same."""
        common = min(common_length(prefix.ids, self._row.history), len(self._row.history) - 1)
        if common == 0:
            return
        for index, content in enumerate(prefix.layers):
            keys, values = (each[:common].transpose(0, 1)[None] for each in content)
            self._cache.update(keys, values, index)
        self.fed = common

    def advance(self) -> torch.Tensor | None:
        """One chunk."""
        history = self._row.history
        chunk = history[self.fed : self.fed + PREFILL_CHUNK]
        device = self._checkpoint.blueprint.device
        output = self._checkpoint.model(
            input_ids=torch.tensor([chunk], device=device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.fed += len(chunk)
        is_last = self.fed == len(history)
        return cast("torch.Tensor", output.logits[0, -1]).float() if is_last else None

    def fork(self, row: Row) -> "CausalFeeding":
        """A copy with a cache of its own."""
        return CausalFeeding(self._checkpoint, row, copy.deepcopy(self._cache), self.fed)

    def prefix(self) -> Prefix | None:
        """What the cache holds; nothing where layers keep a part of it, or something else."""
        layers = [layer for layer in self._cache.layers if type(layer) is DynamicLayer]
        if len(layers) < len(self._cache.layers) or self.fed == 0:
            return None
        content = [
            (cast("torch.Tensor", layer.keys)[0].transpose(0, 1),
             cast("torch.Tensor", layer.values)[0].transpose(0, 1))
            for layer in layers
        ]  # fmt: skip
        return Prefix(tuple(self._row.history[: self.fed]), content)


class EncoderDecoderFeeding:
    """Encoder-decoder: the encoder once over the whole prompt, then the decoder token by token."""

    def __init__(self, checkpoint: Checkpoint, row: Row) -> None:
        self._checkpoint = checkpoint
        self._row = row
        self._encoded: torch.Tensor | None = None
        config = checkpoint.model.config
        self._cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))

    def advance(self) -> torch.Tensor | None:
        """The encoder at first, afterwards one decoder step."""
        device = self._checkpoint.blueprint.device
        if self._encoded is None:
            encoder = self._checkpoint.model.get_encoder()
            source = torch.tensor([self._row.source], device=device)
            self._encoded = encoder(input_ids=source).last_hidden_state
            return None
        output = self._checkpoint.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
            decoder_input_ids=torch.tensor([self._row.history[-1:]], device=device),
            past_key_values=self._cache,
            use_cache=True,
        )
        return cast("torch.Tensor", output.logits[0, -1]).float()

    def fork(self, row: Row) -> "EncoderDecoderFeeding":
        """A copy with a cache of its own; what the encoder said is shared, nobody changes it."""
        forked = EncoderDecoderFeeding(self._checkpoint, row)
        forked._encoded = self._encoded
        forked._cache = copy.deepcopy(self._cache)
        return forked

    def prefix(self) -> Prefix | None:
        """Nothing: the encoder sees everything anew."""


class OneByOne:
    """Rows in turn, one row a step."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._feedings: dict[Row, Feeding] = {}
        self._turn: deque[Row] = deque()
        self.fed: Sequence[Row] = ()

    def join(self, row: Row, prefix: Prefix | None = None) -> int:
        """Let a row in."""
        self._turn.append(row)
        if self._checkpoint.blueprint.feed.kind is ModelKind.ENCODER_DECODER:
            self._feedings[row] = EncoderDecoderFeeding(self._checkpoint, row)
            return 0
        feeding = CausalFeeding(self._checkpoint, row)
        self._feedings[row] = feeding
        if prefix is not None:
            with torch.inference_mode():
                feeding.begin_with(prefix)
        return feeding.fed

    def fork(self, row: Row, of: Row) -> None:
        """Let a row in that has been fed exactly what `of` has."""
        self._turn.append(row)
        with torch.inference_mode():
            self._feedings[row] = self._feedings[of].fork(row)

    def leave(self, row: Row) -> None:
        """Let a row out."""
        with suppress(ValueError):  # a suspended row has no turn
            self._turn.remove(row)
        del self._feedings[row]

    def prefix(self, row: Row, tokens: int | None = None) -> Prefix | None:
        """What a row was fed."""
        whole = self._feedings[row].prefix()
        return whole if whole is None or tokens is None else whole.beginning(tokens)

    def suspend(self, row: Row) -> None:
        """A row without a turn rests."""
        self._turn.remove(row)

    def resume(self, row: Row) -> None:
        """Its turn comes again."""
        self._turn.append(row)

    def step(self) -> Sequence[Row]:
        """One forward pass of the row whose turn it is."""
        row = self._turn[0]
        self._turn.rotate(-1)
        self.fed = (row,)
        with torch.inference_mode():
            logits = self._feedings[row].advance()
        if logits is None:
            return ()
        row.logits = logits
        return (row,)

    def bytes_with(self, rows: int, prompt_tokens: int, answer_tokens: int) -> int:
        """As if every row were as long as the longest may be."""
        blueprint = self._checkpoint.blueprint
        lengths = [len(row.source) + len(row.history) for row in self._feedings]
        more = rows * (prompt_tokens + answer_tokens)
        return blueprint.row_bytes_per_token * (sum(lengths) + more)
