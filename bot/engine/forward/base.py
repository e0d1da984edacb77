"""A forward pass of rows in slots: what each is fed, and what is wanted of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, slots=True)
class Fed:
    """Tokens for the row in a slot, behind those that it holds; of the last `kept` ones are the
    logits wanted.
    """

    slot: int
    ids: Sequence[int]
    kept: int = 1


class ForwardPass(Protocol):
    """How tokens go through a model's layers, or its decoder's."""

    is_ragged: bool
    """Whether rows with fewer tokens than others cost less."""

    def forward(self, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        """Feed rows, each at most once; logits [kept, vocabulary] of each, fp32."""
        ...


class EncoderDecoderPass(ForwardPass, Protocol):
    """How tokens go through a model with an encoder: what is fed is fed to the decoder."""

    def encode(self, sources: Sequence[Sequence[int]]) -> Sequence[torch.Tensor]:
        """What the encoder makes of each source, [tokens, size]."""
        ...
