"""The two phases of training and their step counts, rates and batches.

*Talk* learns both sides of whole dialogues; *answers* then puts the hand-written examples in
the mix, and no longer learns what a bot should not say of itself.
"""

import math
from dataclasses import dataclass
from typing import Literal

PhaseName = Literal["talk", "answers"]


@dataclass(frozen=True, slots=True)
class Phase:
    """How one phase trains; a batch is `rows` rows of `row_tokens` tokens.

    Rates are those of the embeddings and norms, which AdamW trains.
    """

    name: PhaseName
    steps: int
    peak_rate: float
    final_rate: float
    warmup_steps: int
    rows: int
    row_tokens: int
    weight_decay: float = 0.1
    seed: int = 2718

    @property
    def batch_tokens(self) -> int:
        """Tokens in one step."""
        return self.rows * self.row_tokens

    def rate(self, step: int) -> float:
        """The learning rate: a linear warm-up, then half a cosine."""
        if step < self.warmup_steps:
            return self.peak_rate * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        drop = (self.peak_rate - self.final_rate) * (1 + math.cos(math.pi * share)) / 2
        return self.final_rate + drop


def talk(steps: int) -> Phase:
    """The first phase: rows of half the context, which train faster."""
    return Phase("talk", steps, 2e-3, 2e-4, warmup_steps=100, rows=16, row_tokens=256)


def answers(steps: int) -> Phase:
    """The second phase: rows of the whole context."""
    return Phase("answers", steps, 6e-4, 2e-5, warmup_steps=50, rows=4, row_tokens=512)
