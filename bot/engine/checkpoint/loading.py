"""Opening a checkpoint: its weights, tokenizer and rules, and the loaded model.

Only the engine's worker thread imports this module: it imports torch and transformers.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' loading functions are untyped; what leaves this module is typed.

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from bot.conversation import Role, Turn
from bot.engine.checkpoint.blueprint import Blueprint, gguf_arguments
from bot.engine.checkpoint.files import DamagedCheckpoint, template_beside
from bot.engine.checkpoint.gguf_bridge import Everything, through
from bot.engine.checkpoint.model_reading import read_model
from bot.engine.checkpoint.quantization import quantize
from bot.engine.kernels.packing import pack
from bot.engine.text.families import ModelKind
from bot.engine.text.tokenizer import ModelTokenizer, TemplateRefused
from config.catalogue import Family
from config.gguf_header import GgufHeader, read_gguf_header

logger = logging.getLogger(__name__)

READING_SHARE = 0.2
"""How much of the work reading is where the weights are reduced afterwards."""

VOCABULARY_KINDS = "tokenizer.ggml.token_type"
CONTROL = 3
"""GGUF's word for tokens that are no text, and the number that stands for them."""


@dataclass(frozen=True, slots=True)
class CheckpointRules:
    """What a checkpoint's own generation settings demand beside sampling.

    `min_length` counts like `history`: prompt or start token included. Tokens that would repeat an
    n-gram of `encoder_no_repeat_ngram_size` of the encoder's input are never chosen. Beam search,
    length penalty and forced end tokens, which some checkpoints also ask for, are not done:
    answers are streamed as they are chosen.
    """

    eos_ids: frozenset[int]
    min_length: int = 0
    encoder_no_repeat_ngram_size: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model in memory."""

    blueprint: Blueprint
    model: PreTrainedModel
    tokenizer: ModelTokenizer
    rules: CheckpointRules
    start_id: int | None
    """The decoder's first token, for encoder-decoder models."""
    kernel: str
    """In which precision it computes, and in which form."""


def load_checkpoint(blueprint: Blueprint, on_piece: Callable[[float], None]) -> Checkpoint:
    """Load the weights, calling `on_piece` with the share done after each piece.

    Raises `DamagedCheckpoint` where weights are missing, do not fit or give no numbers, or
    whatever transformers raises.
    """
    tokenizer = _load_tokenizer(blueprint)
    # Packing is the second half of the work.
    is_packing = blueprint.packs
    half = 0.5 if is_packing else 1.0
    model = _load_model(blueprint, lambda fraction: on_piece(fraction * half))
    kernel = blueprint.kernel
    if is_packing and pack(
        model, blueprint.dtype, lambda fraction: on_piece(half + fraction * half)
    ):
        kernel = f"packed {kernel}"
    on_piece(1.0)
    embeddings = cast("torch.nn.Embedding", model.get_input_embeddings())
    if tokenizer.size > embeddings.num_embeddings:
        raise DamagedCheckpoint("its tokenizer belongs to another model")
    checkpoint = Checkpoint(
        blueprint=blueprint,
        model=model,
        tokenizer=tokenizer,
        rules=_rules(blueprint, model, tokenizer),
        start_id=_start_id(blueprint, model),
        kernel=kernel,
    )
    _warm_up(checkpoint)
    return checkpoint


def _load_tokenizer(blueprint: Blueprint) -> ModelTokenizer:
    def load() -> PreTrainedTokenizerBase:
        loaded = AutoTokenizer.from_pretrained(
            blueprint.folder,
            local_files_only=True,
            trust_remote_code=False,
            **gguf_arguments(blueprint.weights),
        )
        return cast("PreTrainedTokenizerBase", loaded)

    if blueprint.weights.gguf_file is None:
        tokenizer = ModelTokenizer(load())
    else:
        file = blueprint.folder / blueprint.weights.gguf_file
        header = read_gguf_header(file, Everything())
        loaded = through(file, header, load)
        loaded.chat_template = template_beside(file) or loaded.chat_template
        tokenizer = ModelTokenizer(loaded, is_gguf=True, control_ids=_control_ids(header))
    if blueprint.entry.family is Family.CHAT:
        _check_template(tokenizer)
    return tokenizer


def _control_ids(header: GgufHeader) -> list[int]:
    """What a GGUF file calls control tokens: transformers keeps some architectures' only."""
    kinds = header.arrays.get(VOCABULARY_KINDS, ())
    return [id_ for id_, kind in enumerate(kinds) if kind == CONTROL]


def _check_template(tokenizer: ModelTokenizer) -> None:
    if not tokenizer.has_template:
        raise DamagedCheckpoint("it has no chat template")
    try:
        tokenizer.render([Turn(Role.USER, "?")])
    except TemplateRefused as error:
        raise DamagedCheckpoint("its chat template is broken") from error


def _load_model(blueprint: Blueprint, on_piece: Callable[[float], None]) -> PreTrainedModel:
    bits = blueprint.entry.weight_bits
    read = 1.0 if bits is None else READING_SHARE
    model = read_model(blueprint, lambda fraction: on_piece(fraction * read))
    if bits is not None:
        _reduce(model, blueprint, bits, lambda share: on_piece(read + share * (1 - read)))
    return cast("Any", model.eval()).to(blueprint.device)


def _reduce(
    model: PreTrainedModel, blueprint: Blueprint, bits: int, on_piece: Callable[[float], None]
) -> None:
    """Leave fewer bits of the weights, and of the states where they may become bytes."""
    if blueprint.takes_bytes:
        # Imported here: it brings numba.
        from bot.engine.checkpoint.block_quantization import reduce_to_blocks

        if reduce_to_blocks(model, bits, blueprint.dtype, on_piece):
            return
    quantize(model, bits, blueprint.dtype, on_piece)


def _rules(
    blueprint: Blueprint, model: PreTrainedModel, tokenizer: ModelTokenizer
) -> CheckpointRules:
    settings: object = model.generation_config
    ends = [getattr(settings, "eos_token_id", None), tokenizer.eos_id]
    ids = [id_ for end in ends for id_ in (end if isinstance(end, list) else [end])]
    if blueprint.feed.kind is ModelKind.DECODER_ONLY:
        return CheckpointRules(frozenset(id_ for id_ in ids if isinstance(id_, int)))
    return CheckpointRules(
        frozenset(id_ for id_ in ids if isinstance(id_, int)),
        min_length=getattr(settings, "min_length", None) or 0,
        encoder_no_repeat_ngram_size=getattr(settings, "encoder_no_repeat_ngram_size", None) or 0,
    )


def _start_id(blueprint: Blueprint, model: PreTrainedModel) -> int | None:
    if blueprint.feed.kind is ModelKind.DECODER_ONLY:
        return None
    for source in (model.generation_config, model.config):
        start: object = getattr(source, "decoder_start_token_id", None)
        if isinstance(start, int):
            return start
    raise DamagedCheckpoint("it names no token to start an answer with")


def _warm_up(checkpoint: Checkpoint) -> None:
    """One small forward pass: the first of a process is slow, and broken weights show here."""
    device = checkpoint.blueprint.device
    ids = torch.ones((1, 4), dtype=torch.long, device=device)
    extra: Mapping[str, torch.Tensor] = {}
    if checkpoint.start_id is not None:
        extra = {"decoder_input_ids": torch.tensor([[checkpoint.start_id]], device=device)}
    with torch.inference_mode():
        logits = checkpoint.model(input_ids=ids, **extra).logits
    if not bool(torch.isfinite(logits).all()):
        raise DamagedCheckpoint("its weights are not numbers")
