"""Whisper as an architecture that the engine runs: the same function in Blenderbot's modules.

Both put the norms first, add learned positions, end each side with a norm and tie the output to the
embeddings; Whisper's keys have no bias, so Blenderbot's are zeros. What differs is the encoder's
input: Whisper's layers are given frames, which two convolutions make of sound. Here each frame is a
token of the vocabulary, behind the words, whose embedding it is, and which is never said.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn.functional import gelu, pad
from transformers import (
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    GenerationConfig,
    PreTrainedTokenizerFast,
    WhisperForConditionalGeneration,
)
from typing_extensions import override

from bot.engine.text.tokenizer import ModelTokenizer
from config.catalogue import Family, ModelEntry
from scripts.real_weights import WHISPER_TOKENIZER
from tests.engine.whisper.weights import BASE, END, START
from tests.real_weights import fetched

WORDS = int(BASE["vocab_size"])
POSITIONS = 1500
NEVER = -1e4
"""What is added to the logit of a frame."""

Heard = Mapping[str, Sequence[int]]
"""The frames of sentences, as tokens, by what stands for each in a text."""


def write_as_blenderbot(
    model: WhisperForConditionalGeneration, spectrograms: Sequence[torch.Tensor], folder: Path
) -> Heard:
    """Write the checkpoint of a Blenderbot that hears these; gives the tokens of each."""
    frames = [_frames(model, each) for each in spectrograms]
    state = dict(_state(model, torch.cat(frames)))
    settings: dict[str, Any] = {
        **BASE,
        "vocab_size": WORDS + sum(map(len, frames)),
        "max_position_embeddings": POSITIONS,
        "decoder_start_token_id": START,
        "bos_token_id": END,
        "eos_token_id": END,
        "pad_token_id": END,
    }
    with torch.device("meta"):
        made = BlenderbotForConditionalGeneration(BlenderbotConfig(**settings))
    made.load_state_dict(state, assign=True)
    made.tie_weights()
    made.generation_config = GenerationConfig(decoder_start_token_id=START, eos_token_id=END)
    made.save_pretrained(folder)
    words = fetched(WHISPER_TOKENIZER)
    PreTrainedTokenizerFast(
        tokenizer_file=str(words), eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    ).save_pretrained(folder)
    return dict(_numbered(frames))


def entry_of(folder: Path) -> ModelEntry:
    """A catalogue entry for what was written."""
    return ModelEntry(
        name="whisper",
        title="Whisper base",
        family=Family.BLENDERBOT,
        description="trained weights",
        licence="MIT",
        folder=folder,
        context_tokens=POSITIONS,
        parameters=72_593_920,
        weight_bytes=290_000_000,
    )


class Hearing(ModelTokenizer):
    """Whisper's tokenizer; a text that stands for a sentence is that sentence's frames."""

    def __init__(self, tokenizer: ModelTokenizer, heard: Heard) -> None:
        super().__init__(cast("Any", tokenizer)._tokenizer)
        self._heard = heard

    @property
    @override
    def eos_id(self) -> None:
        """Nothing follows the last frame."""

    @override
    def encode(self, text: str) -> list[int]:
        """Whisper's own tokens for its task may be written out."""
        frames = self._heard.get(text.strip())
        return self._encode(text) if frames is None else list(frames)


def _frames(model: WhisperForConditionalGeneration, spectrogram: torch.Tensor) -> torch.Tensor:
    """What the encoder's first layer is given, but for positions [frames, size]."""
    encoder = cast("Any", model.model.encoder)
    with torch.inference_mode():
        return gelu(encoder.conv2(gelu(encoder.conv1(spectrogram))))[0].T.clone()


def _numbered(frames: Sequence[torch.Tensor]) -> Iterator[tuple[str, Sequence[int]]]:
    first = WORDS
    for index, each in enumerate(frames):
        yield f"sentence {index}", range(first, first + len(each))
        first += len(each)


def _state(
    model: WhisperForConditionalGeneration, frames: torch.Tensor
) -> Iterator[tuple[str, torch.Tensor]]:
    state = {
        name: weight
        for name, weight in model.state_dict().items()
        if not name.startswith(("model.encoder.conv", "proj_out"))
    }
    both = torch.cat([state.pop("model.decoder.embed_tokens.weight"), frames])
    names = ("model.shared", "model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")
    yield from ((f"{name}.weight", both) for name in names)
    for name, weight in state.items():
        if name.endswith("embed_positions.weight"):
            yield name, pad(weight, (0, 0, 0, POSITIONS - len(weight)))
        else:
            yield name, weight
        if name.endswith("k_proj.weight"):
            yield name.replace("weight", "bias"), torch.zeros(len(weight))
    bias = torch.zeros(1, len(both))
    bias[:, WORDS:] = NEVER
    yield "final_logits_bias", bias
