"""Batch: the rows of one model that generate together, and how a model gets the batch it can have.

Only the engine's worker thread imports this module.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from bot.engine.batching.batch_check import examine
from bot.engine.batching.causal import CausalBatch
from bot.engine.batching.encoder_decoder import EncoderDecoderBatch
from bot.engine.batching.one_by_one import OneByOne
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.cache.prefix_cache import Prefix
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.padded_causal import PaddedCausal
from bot.engine.forward.padded_encoder_decoder import PaddedEncoderDecoder
from bot.engine.text.families import BATCHED_MODEL_TYPES, ModelKind
from bot.errors import EngineUnavailable

logger = logging.getLogger(__name__)


class Batch(Protocol):
    """The rows of one model. A row is in one batch, from `join` to `leave`."""

    def join(self, row: Row, prefix: Prefix | None = None) -> int:
        """Let a row in. Returns how many of its prompt's tokens a kept prefix saved."""
        ...

    def fork(self, row: Row, of: Row) -> None:
        """Let a row in that has been fed exactly what `of` has."""
        ...

    def leave(self, row: Row) -> None:
        """Let a row out."""
        ...

    def prefix(self, row: Row, tokens: int | None = None) -> Prefix | None:
        """A copy of what a row was fed, or of its first tokens, if a later row could begin with
        it: the prompt and answer of a decoder-only model, or what an encoder was given.
        """
        ...

    def suspend(self, row: Row) -> None:
        """Let a row rest: it is not stepped, takes no slot and keeps what it was fed."""
        ...

    def resume(self, row: Row) -> None:
        """Let a suspended row go on."""
        ...

    def step(self) -> Sequence[Row]:
        """One forward pass; the rows whose logits it set. They choose before the next step."""
        ...

    @property
    def fed(self) -> Sequence[Row]:
        """The rows of the last pass, so that its failure is told to them alone."""
        ...

    def bytes_with(self, rows: int, prompt_tokens: int, answer_tokens: int) -> int:
        """The memory that the rows would take with so many more of this length."""
        ...


def batch_for(checkpoint: Checkpoint, between_passes: Callable[[], None] = lambda: None) -> Batch:
    """The batch for a model: all rows in one pass where it is known and tested to be right. Between
    the passes of the test `between_passes` is called.

    Rotary positions that are scaled by the length seen so far would make rows depend on each other.
    """
    blueprint = checkpoint.blueprint
    if blueprint.config.model_type not in BATCHED_MODEL_TYPES or _scales_by_length(checkpoint):
        return OneByOne(checkpoint)
    ways = [by_modules]
    if blueprint.is_compiled:
        ways.insert(0, by_kernels)
    for make in ways:
        try:
            batch = make(checkpoint)
            agreement = examine(checkpoint, batch, between_passes)
            if agreement.is_right:
                return batch
            reason = str(agreement)
        except (torch.OutOfMemoryError, MemoryError, EngineUnavailable):
            raise
        except Exception as error:
            reason = f"{type(error).__name__} in the self-test"
        instead = "answers one question at a time" if make is by_modules else "does without kernels"
        logger.warning("%s %s: %s", blueprint.entry.name, instead, reason)
    return OneByOne(checkpoint)


def by_modules(checkpoint: Checkpoint) -> SlotBatch:
    """Through transformers' modules."""
    if checkpoint.blueprint.feed.kind is ModelKind.DECODER_ONLY:
        return CausalBatch(checkpoint, PaddedCausal)
    return EncoderDecoderBatch(checkpoint, PaddedEncoderDecoder)


def by_kernels(checkpoint: Checkpoint) -> SlotBatch:
    """Through compiled kernels."""
    # Imported here: they bring numba, which not every model is computed with.
    from bot.engine.forward.fused_causal import FusedCausal
    from bot.engine.forward.fused_encoder_decoder import FusedEncoderDecoder

    if checkpoint.blueprint.feed.kind is ModelKind.DECODER_ONLY:
        return CausalBatch(checkpoint, FusedCausal)
    return EncoderDecoderBatch(checkpoint, FusedEncoderDecoder)


def _scales_by_length(checkpoint: Checkpoint) -> bool:
    scaling: object = getattr(checkpoint.blueprint.config, "rope_parameters", None)
    kind = scaling.get("rope_type") if isinstance(scaling, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return kind in ("dynamic", "longrope")
