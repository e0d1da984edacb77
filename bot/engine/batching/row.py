"""One row: a text in the making, and how it chooses its next token.

Only the engine's worker thread imports this module. How rows go through their model is a batch's
business (`batch`).
"""

from collections import deque
from collections.abc import Sequence
from math import isfinite

import torch

from bot.engine.base import SamplingParameters
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.text.families import ModelKind
from bot.engine.text.sampling import (
    choose,
    followers,
    highest,
    log_probability,
    nearer_to_the_end,
    probabilities_of,
    seeded_generator,
    without,
)
from bot.engine.text.speculation import PromptLookup
from bot.errors import Signal

OPTIONS = 5
"""How many of the likeliest tokens a trace holds at each place."""


class BrokenNumbers(Signal):
    """The model gave logits that are not numbers."""


class Row:
    """One text being generated from a prompt's `ids`.

    `history` is what the decoder has read: with a decoder-only model, the prompt too. Penalties
    count the answer alone, of which the prompt's last `begun` tokens are a part; those of
    transformers count the whole prompt, so that the words of the question, and of a text that is to
    be summarized or translated, are hard to say. `source` is what the encoder is given, nothing for
    decoder-only models. `logits` [vocabulary]
    are set by the batch, several in a row where it guessed (`speculation`), and a token chosen from
    them is fed at the row's next pass. `tokens` are those said; an end token ends the row and is
    not among them. `total_log_probability` sums what the unfiltered model gave them, end token
    included.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        ids: Sequence[int],
        sampling: SamplingParameters,
        index: int = 0,
        traced_tokens: int = 0,
        begun: int = 0,
    ) -> None:
        self._rules = checkpoint.rules
        self._spared = checkpoint.tokenizer.control_ids | checkpoint.rules.eos_ids
        self._sampling = sampling
        self._generator = seeded_generator(sampling.seed, index, checkpoint.blueprint.device)
        self.source: Sequence[int] = ()
        if checkpoint.blueprint.feed.kind is ModelKind.ENCODER_DECODER:
            assert checkpoint.start_id is not None
            self.source = list(ids)
            self.history = [checkpoint.start_id]
        else:
            self.history = list(ids)
        self._answer_start = max(0, len(self.history) - begun)
        self.tokens: list[int] = []
        self._traced_tokens = traced_tokens
        self.picks: list[int] = []
        self.options: list[list[tuple[int, float]]] = []
        self.total_log_probability = 0.0
        self.chosen = 0
        self.is_ended = False
        self.logits: torch.Tensor | None = None
        self.lookup = PromptLookup(self.source)
        self._guessed = 0
        self._ahead: deque[tuple[int, torch.Tensor]] = deque()

    @property
    def mean_log_probability(self) -> float:
        """The mean over what was chosen."""
        return self.total_log_probability / max(self.chosen, 1)

    @property
    def tokens_left(self) -> int:
        """How many more it may say."""
        return max(0, self._sampling.max_tokens - len(self.tokens))

    def guess(self, most: int) -> Sequence[int]:
        """At most so many tokens that it may say after the one that it feeds next."""
        most = min(most, self.tokens_left - 1)
        return self.lookup.guess(self.history, most) if most > 0 else ()

    def expect(self, logits: torch.Tensor, guessed: Sequence[int]) -> None:
        """Take logits [1 + guesses, vocabulary]: after the token that was fed and each guess."""
        self.logits = logits[0]
        self._guessed = len(guessed)
        self._ahead = deque(zip(guessed, logits[1:], strict=True))

    def advance(self) -> bool:
        """After a choice: whether it was guessed, so that the next one can be made at once."""
        if self.is_ended or not self._ahead or self._ahead[0][0] != self.history[-1]:
            return False
        _guess, self.logits = self._ahead.popleft()
        return True

    def forget_guesses(self) -> int:
        """How many guesses of the last pass were not said; what was fed of them is to be undone."""
        wrong = len(self._ahead)
        if self._guessed:
            self.lookup.learn(self._guessed, self._guessed - wrong)
        self._guessed = 0
        self._ahead.clear()
        return wrong

    def choose(self) -> int | None:
        """Choose a token from the logits; None when it is an end token."""
        assert self.logits is not None
        if not isfinite(self.logits[highest(self.logits)]):
            raise BrokenNumbers
        allowed = self._allowed(self.logits)
        said = self.history[self._answer_start :]
        token = choose(allowed, said, self._sampling, self._generator, self._spared)
        if self._sampling.best_of > 1:
            self.total_log_probability += log_probability(self.logits, token)
        if self.chosen < self._traced_tokens:
            self.picks.append(token)
            self.options.append(probabilities_of(self.logits, token, OPTIONS))
        self.chosen += 1
        if token in self._rules.eos_ids:
            self.is_ended = True
            return None
        self.tokens.append(token)
        self.history.append(token)
        return token

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        if len(self.history) < self._rules.min_length:
            logits = without(logits, sorted(self._rules.eos_ids))
        penalty = self._sampling.exponential_decay_length_penalty
        if penalty is not None:
            logits = nearer_to_the_end(logits, self._rules.eos_ids, len(self.tokens), penalty)
        size = self._rules.encoder_no_repeat_ngram_size
        if size:
            logits = without(logits, followers(self.history, self.source, size))
        return logits
