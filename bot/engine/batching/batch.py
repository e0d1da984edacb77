"""Batch: the rows of one model that generate together, and how a model gets the batch it can have.

Only the engine's worker thread imports this module.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from gguf import GGMLQuantizationType

from bot.engine.batching.batch_check import examine, warm_up
from bot.engine.batching.causal import CausalBatch
from bot.engine.batching.encoder_decoder import EncoderDecoderBatch
from bot.engine.batching.one_by_one import OneByOne
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.cache.prefix_cache import Prefix
from bot.engine.checkpoint.gguf_weights import WHOLE
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.padded_causal import PaddedCausal
from bot.engine.forward.padded_encoder_decoder import PaddedEncoderDecoder
from bot.engine.kernels.block_format import BlockFormat
from bot.engine.machine.kernel_switch import KERNEL_SWITCH, are_kernels_off
from bot.engine.run_mode import Cause, Reason, RunMode
from bot.engine.text.families import BATCHED_MODEL_TYPES, ModelKind
from bot.errors import EngineUnavailable

logger = logging.getLogger(__name__)

UNBATCHED = frozenset({Cause.UNKNOWN_ARCHITECTURE, Cause.GROWING_POSITIONS})
"""Causes for which no batch is tried."""


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
    """The batch that `tried_out` gives, for whoever does not say how it runs."""
    return tried_out(checkpoint, between_passes)[0]


def tried_out(
    checkpoint: Checkpoint,
    between_passes: Callable[[], None] = lambda: None,
    known: RunMode | None = None,
) -> tuple[Batch, RunMode]:
    """The batch for a model, and how the model runs with it: all rows in one pass where it is known
    and tested to be right. Between the passes of the test `between_passes` is called. What an
    earlier test of the same model found, `known`, is not tested again.
    """
    if known is not None:
        batch = _as_known(checkpoint, known)
        if batch is not None:
            return batch, known
    reasons = _reasons_before(checkpoint)
    if not any(reason.cause in UNBATCHED for reason in reasons):
        for make, cause in _ways(checkpoint):
            refused = _tried(checkpoint, make, between_passes)
            if isinstance(refused, SlotBatch):
                return refused, _mode(checkpoint, reasons, refused, has_kernels=make is by_kernels)
            reasons.append(Reason(cause, refused))
            logger.warning("%s: %s", checkpoint.blueprint.entry.name, reasons[-1].text)
    alone = OneByOne(checkpoint)
    return alone, _mode(checkpoint, reasons, alone, has_kernels=False)


def _as_known(checkpoint: Checkpoint, known: RunMode) -> Batch | None:
    """The batch that a model had under the same circumstances; None where it cannot be made."""
    if not known.is_batched:
        return OneByOne(checkpoint)
    try:
        batch = (by_kernels if known.has_kernels else by_modules)(checkpoint)
        warm_up(checkpoint, batch)
    except (torch.OutOfMemoryError, MemoryError, EngineUnavailable):
        raise
    except Exception as error:  # a compiler, and other people's modules, may raise anything
        logger.warning("%s is tried out again: %s", checkpoint.blueprint.entry.name, error)
        return None
    return batch


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


def _ways(checkpoint: Checkpoint) -> Sequence[tuple[Callable[[Checkpoint], SlotBatch], Cause]]:
    """How to compute a batch, the fastest first, and what it is called where that does not work."""
    by_itself = (by_modules, Cause.BATCH_REFUSED)
    compiled = (by_kernels, Cause.KERNELS_REFUSED)
    return [compiled, by_itself] if checkpoint.blueprint.is_compiled else [by_itself]


def _tried(
    checkpoint: Checkpoint,
    make: Callable[[Checkpoint], SlotBatch],
    between_passes: Callable[[], None],
) -> SlotBatch | str:
    """A batch that is right, or what is wrong with it."""
    try:
        batch = make(checkpoint)
        agreement = examine(checkpoint, batch, between_passes)
    except (torch.OutOfMemoryError, MemoryError, EngineUnavailable):
        raise
    except Exception as error:  # a compiler, and other people's modules, may raise anything
        return type(error).__name__
    return batch if agreement.is_right else str(agreement)


def _reasons_before(checkpoint: Checkpoint) -> list[Reason]:
    """Why a model does not run in the fastest way, as far as is known before a batch is tried."""
    blueprint = checkpoint.blueprint
    kind, is_cpu = str(blueprint.config.model_type), blueprint.device.type == "cpu"
    reasons: list[Reason] = []
    if _has_plain_layers(checkpoint):
        reasons.append(Reason(Cause.LAYERS_UNPACKED))
    if blueprint.takes_bytes and not _kinds_in_blocks(checkpoint):
        reasons.append(Reason(Cause.STATES_WHOLE))
    if kind not in BATCHED_MODEL_TYPES:
        reasons.append(Reason(Cause.UNKNOWN_ARCHITECTURE, kind))
    elif _scales_by_length(checkpoint):
        reasons.append(Reason(Cause.GROWING_POSITIONS))
    elif is_cpu and are_kernels_off():
        reasons.append(Reason(Cause.SWITCHED_OFF, KERNEL_SWITCH))
    elif not blueprint.is_compiled:
        reasons.append(Reason(Cause.NO_KERNELS, kind) if is_cpu else Reason(Cause.NO_CPU))
    return reasons


def _mode(
    checkpoint: Checkpoint, reasons: Sequence[Reason], batch: Batch, *, has_kernels: bool
) -> RunMode:
    blueprint = checkpoint.blueprint
    blocks = _kinds_in_blocks(checkpoint)
    stored = _quantised_kinds(checkpoint)
    return RunMode(
        is_batched=isinstance(batch, SlotBatch),
        has_kernels=has_kernels,
        precision=blueprint.precision,
        bits=blueprint.entry.weight_bits,
        has_byte_states=bool(blocks),
        reasons=tuple(reasons),
        blocks=", ".join(sorted(blocks)),
        unpacked=", ".join(sorted(stored - blocks)),
    )


def _kinds_in_blocks(checkpoint: Checkpoint) -> set[str]:
    """The names of the block formats that a model's layers multiply by."""
    kinds = (getattr(each, "kind", None) for each in _products(checkpoint))
    return {kind.name for kind in kinds if isinstance(kind, BlockFormat)}


def _products(checkpoint: Checkpoint) -> Iterator[object]:
    return (getattr(each, "product", None) for each in checkpoint.model.modules())


def _quantised_kinds(checkpoint: Checkpoint) -> set[str]:
    """GGML's names of how the weights of a GGUF file are stored, but for whole numbers."""
    header = checkpoint.blueprint.weights.header
    kinds: set[int] = set() if header is None else {tensor.kind for tensor in header.tensors}
    return {GGMLQuantizationType(kind).name for kind in kinds - set(WHOLE)}


def _has_plain_layers(checkpoint: Checkpoint) -> bool:
    """Whether layers that should be packed are not."""
    dtype = checkpoint.blueprint.dtype
    return checkpoint.blueprint.packs and any(
        type(module) is torch.nn.Linear and module.weight.dtype is dtype
        for module in checkpoint.model.modules()
    )


def _scales_by_length(checkpoint: Checkpoint) -> bool:
    """Rotary positions that are scaled by the length seen so far would make rows depend on each
    other."""
    scaling: object = getattr(checkpoint.blueprint.config, "rope_parameters", None)
    kind = scaling.get("rope_type") if isinstance(scaling, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return kind in ("dynamic", "longrope")
