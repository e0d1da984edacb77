"""How exact logits are, whatever processor computes them: against fp64, beside torch's own fp32.

Sums are in another order on another processor, and a model makes the difference larger by as much
as its weights happen to. So no bound is a number seen on one machine: ours may be twice as far from
fp64 as torch's own fp32 is on the same texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bot.engine.batching.row import Row
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.reference import Text, wide_logits

MOST_TIMES_TORCH = 2.0


UNDECIDED = 8
"""Rounding leaves no more tokens than this to choose from; a wrong one is none of them."""


def wide_answer(checkpoint: Checkpoint, row: Row, said: Sequence[int]) -> torch.Tensor:
    """What each token that a row says, and the one behind them, should be chosen from, [tokens + 1,
    vocabulary]: the checkpoint's own modules in fp64.
    """
    (logits,) = wide_logits(checkpoint, [Text(row.source, [*row.history, *said])])
    return logits[len(row.history) - 1 :]


def undecided(found: torch.Tensor, wide: torch.Tensor) -> list[int]:
    """The tokens that rounding cannot rule out as the first choice of one step.

    `found` are torch's own fp32 logits and `wide` those in fp64: `delta`, the farthest of the first
    from the second, is what torch's rounding moved one token. Ours may move each MOST_TIMES_TORCH
    as far. Whoever chooses a token whose logit is lower than the best one's by more than both
    together, for both tokens, has computed something else.
    """
    delta = float((found.double() - wide).abs().max())
    least = float(wide.max()) - 2 * MOST_TIMES_TORCH * delta
    ranked = wide.topk(UNDECIDED)
    return [
        int(token)
        for logit, token in zip(ranked.values, ranked.indices, strict=True)
        if float(logit) >= least
    ]


def mean_square(found: torch.Tensor, wide: torch.Tensor) -> float:
    """The mean square error of one step's logits."""
    return float((found.double() - wide).square().mean())


@dataclass(slots=True)
class Errors:
    """Mean square errors, summed over steps, of ours and of torch's own fp32."""

    ours: float = 0.0
    theirs: float = 0.0
    steps: int = 0

    def add_all(
        self, ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor], wide: torch.Tensor
    ) -> None:
        """The logits of an answer's steps, as many as ours has."""
        for step in zip(ours, theirs, wide, strict=False):
            self.add(*step)

    def add(self, ours: torch.Tensor, theirs: torch.Tensor, wide: torch.Tensor) -> None:
        """Both logits of one step, and what they should be."""
        self.ours += mean_square(ours, wide)
        self.theirs += mean_square(theirs, wide)
        self.steps += 1

    @property
    def times_torch(self) -> float:
        """How many times as far ours are, in root mean squares."""
        return (self.ours / self.theirs) ** 0.5
