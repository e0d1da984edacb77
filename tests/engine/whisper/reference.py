"""What Whisper says to a sentence by transformers' `generate`, and what it should say in fp64."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin, WhisperForConditionalGeneration

from tests.engine.whisper.weights import END, START


@dataclass(frozen=True, slots=True)
class Said:
    """The tokens of an answer, an end token included, and what each was chosen from
    [tokens, vocabulary]: in fp32, and in fp64 after the same tokens.
    """

    tokens: Sequence[int]
    logits: torch.Tensor
    wide: torch.Tensor


def said(
    model: WhisperForConditionalGeneration, spectrograms: Sequence[torch.Tensor], most: int
) -> Sequence[Said]:
    """What is said to each, at most so many tokens; the model is in fp64 from then on. Whisper
    itself finds out the language and what to do.
    """
    with torch.inference_mode():
        outputs = [_generated(model, each, most) for each in spectrograms]
        wide = model.double()
        return [
            Said(
                output.sequences[0, 1:].tolist(),
                torch.cat(output.logits),
                _logits(wide, spectrogram.double(), output.sequences[:, :-1]),
            )
            for output, spectrogram in zip(outputs, spectrograms, strict=True)
        ]


def _generated(model: WhisperForConditionalGeneration, spectrogram: torch.Tensor, most: int) -> Any:
    model.generation_config = GenerationConfig(
        decoder_start_token_id=START, eos_token_id=END, pad_token_id=END
    )
    # Whisper's own `generate` forbids some tokens and cuts long speech; this is what it calls.
    return cast("Any", GenerationMixin).generate(
        model,
        encoder_outputs=_encoded(model, spectrogram),
        decoder_input_ids=torch.tensor([[START]]),
        max_new_tokens=most,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )


def _logits(model: Any, spectrogram: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
    """After each token [tokens, vocabulary]."""
    encoded = _encoded(model, spectrogram)
    return model(encoder_outputs=encoded, decoder_input_ids=history, use_cache=False).logits[0]


def _encoded(model: Any, spectrogram: torch.Tensor) -> Any:
    encoder = model.model.encoder
    with _hearing(encoder, spectrogram.shape[-1] // 2):
        return encoder(spectrogram)


@contextmanager
def _hearing(encoder: Any, frames: int) -> Generator[None]:
    """Whisper hears half a minute, padded with silence; here it hears so many frames."""
    positions, most = encoder.embed_positions, encoder.config.max_source_positions
    encoder.embed_positions = nn.Embedding.from_pretrained(positions.weight[:frames])
    encoder.config.max_source_positions = frames
    try:
        yield
    finally:
        encoder.embed_positions, encoder.config.max_source_positions = positions, most
