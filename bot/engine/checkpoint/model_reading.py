"""A model with its weights as they are in the file, in the precision that it is to compute in.

Only the engine's worker thread imports this module: it imports torch and transformers.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' loading functions are untyped; what leaves this module is typed.

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GgufConfig,
    PreTrainedModel,
    modeling_gguf_pytorch_utils,
)
from transformers.utils import logging as transformers_logging

from bot.engine.checkpoint.blueprint import Blueprint, gguf_arguments
from bot.engine.checkpoint.files import DamagedCheckpoint
from bot.engine.checkpoint.gguf_bridge import gguf_config, has_own_way, through
from bot.engine.checkpoint.gguf_weights import GgufWeights, LazyWeight, state_dict
from bot.engine.text.families import ModelKind
from config.gguf_header import GgufHeader

if TYPE_CHECKING:
    from bot.engine.checkpoint.block_layers import BlockMatrices

PIECES = "Loading weights"
"""What transformers calls the loop over a checkpoint's tensors in its progress bar."""


def read_model(blueprint: Blueprint, on_piece: Callable[[float], None]) -> PreTrainedModel:
    """Read a model, calling `on_piece` with the share done. Raises `DamagedCheckpoint` where some
    of its weights are missing, or whatever transformers raises.
    """
    with _pieces_reported(on_piece):
        model, info = _read_weights(blueprint, on_piece)
    if info["missing_keys"]:
        raise DamagedCheckpoint(f"{len(info['missing_keys'])} of its weights are missing")
    return cast("PreTrainedModel", model)


def _read_weights(
    blueprint: Blueprint, on_piece: Callable[[float], None]
) -> tuple[Any, dict[str, Any]]:
    """The model, and what of it was not found."""
    weights, header = blueprint.weights, blueprint.weights.header
    if weights.gguf_file is None or header is None:
        return _from_pretrained(_auto(blueprint), blueprint, blueprint.folder)
    file = blueprint.folder / weights.gguf_file
    with file.open("rb") as opened:
        reading = GgufWeights(opened, _reading_dtype(blueprint))
        named = through(file, header, lambda: _gguf_state(blueprint, file, header, reading))
        if named is not None:
            empty, state = named
            kept = _block_matrices(reading, state, empty) if blueprint.keeps_blocks else None
            model, info = _from_pretrained(type(empty), blueprint, None, state_dict=state)
            if kept is not None:
                kept.put_into(model, on_piece)
            return model, info
    unpacked = {**gguf_arguments(weights), "quantization_config": GgufConfig(dequantize=True)}
    return through(
        file,
        header,
        lambda: _from_pretrained(_auto(blueprint), blueprint, blueprint.folder, **unpacked),
    )


def _block_matrices(
    weights: GgufWeights, state: Mapping[str, LazyWeight], empty: PreTrainedModel
) -> "BlockMatrices":
    # Imported here: it brings numba.
    from bot.engine.checkpoint.block_layers import BlockMatrices

    return BlockMatrices(weights, state, empty)


def _gguf_state(
    blueprint: Blueprint, file: Path, header: GgufHeader, reading: GgufWeights
) -> tuple[PreTrainedModel, Mapping[str, LazyWeight]] | None:
    """The model without weights, and those, where each of them is one of the file's."""
    if has_own_way(str(header.values["general.architecture"])):
        return None
    with torch.device("meta"):
        empty = _auto(blueprint).from_config(blueprint.config)
    state = state_dict(reading, header, gguf_config(file), empty)
    return None if state is None else (empty, state)


def _from_pretrained(
    kind: Any, blueprint: Blueprint, folder: Path | None, **options: object
) -> tuple[Any, dict[str, Any]]:
    return kind.from_pretrained(
        folder,
        config=blueprint.config,
        dtype=_reading_dtype(blueprint),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=blueprint.weights.is_safetensors,
        weights_only=True,
        output_loading_info=True,
        **options,
    )


def _auto(blueprint: Blueprint) -> Any:
    is_causal = blueprint.feed.kind is ModelKind.DECODER_ONLY
    return AutoModelForCausalLM if is_causal else AutoModelForSeq2SeqLM


def _reading_dtype(blueprint: Blueprint) -> torch.dtype:
    is_reduced = blueprint.entry.weight_bits is not None
    return blueprint.stored_dtype if is_reduced else blueprint.dtype


@contextmanager
def _pieces_reported(on_piece: Callable[[float], None]) -> Generator[None]:
    """Turn transformers' progress bar over a checkpoint's tensors into calls of `on_piece`."""

    def make(_factory: object, args: tuple[Any, ...], options: dict[str, Any]) -> "_Pieces":
        is_loop = options.get("desc") == PIECES
        return _Pieces(args[0] if args else (), on_piece if is_loop else None)

    # Unpacking a GGUF file draws a bar of its own, past the hook.
    unpacking = cast("Any", modeling_gguf_pytorch_utils)
    bar = unpacking.tqdm
    previous = transformers_logging.set_tqdm_hook(make)
    unpacking.tqdm = _silent
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous)
        unpacking.tqdm = bar


def _silent(items: Iterable[object], **_options: object) -> "_Pieces":
    return _Pieces(items, None)


class _Pieces:
    """Stands in for a progress bar: an iterable that reports how far it is."""

    def __init__(self, items: Iterable[object], report: Callable[[float], None] | None) -> None:
        self._items = list(items)
        self._report = report

    def __iter__(self) -> Iterator[object]:
        for index, item in enumerate(self._items):
            yield item
            if self._report is not None:
                self._report((index + 1) / len(self._items))

    def update(self, _count: int = 1) -> None:
        """Nothing: what is not the loop over tensors is not reported."""

    def close(self) -> None:
        """Nothing is open."""
