"""`python -m bench.speculation MODEL [FOLDER]`: what guessed tokens gain or cost.

In processor time of one thread. The rows say a given text, and of each guess so many in a hundred
are right, as if it had been looked up; each choice is made from the model's logits all the same.
Shown is the time that a token takes to that without guesses, in the same run. FOLDER keeps random
weights; `--allow-fallback` measures a model that runs slower than it should.
"""

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from typing_extensions import override

from bench.checkpoints import make
from bench.loaded import loaded, measured_batch, parser_of
from bot.engine.base import SamplingParameters
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.text.speculation import PASS_TOKENS, PromptLookup

PROMPT_TOKENS = 256
ANSWER_TOKENS = 64
ROUNDS = 2
COUNTS = (1, 2, 4, 8)
RIGHT = (0.0, 0.5, 0.8, 1.0)
GREEDY = SamplingParameters(temperature=0, max_tokens=ANSWER_TOKENS)


class RatedLookup(PromptLookup):
    """Finds a guess each time, whose tokens are right as often as it is told."""

    def __init__(self, script: Sequence[int], right: float) -> None:
        super().__init__(())
        self._script, self._right = script, right
        self._chance = random.Random(1)

    @override
    def guess(self, history: Sequence[int], most: int) -> Sequence[int]:
        guessed = super().guess(history, most)
        said = self._script[len(history) : len(history) + len(guessed)]
        return [token + (self._chance.random() >= self._right) for token in said]

    @override
    def _found(self) -> int:
        return 0


class ScriptedRow(Row):
    """Chooses, and then says what its script says."""

    def __init__(self, checkpoint: Checkpoint, script: Sequence[int], right: float) -> None:
        begun = len(script) - ANSWER_TOKENS
        super().__init__(checkpoint, script[:begun], GREEDY)
        if self.source:
            script = [*self.history, *script[begun:]]
        self._script = script
        self.lookup = RatedLookup(script, right)

    @override
    def choose(self) -> int:
        place = len(self.history)
        super().choose()
        self.is_ended = False
        self.history[place:] = self.tokens[self.chosen - 1 :] = [self._script[place]]
        return self._script[place]


def main() -> None:
    """Measure one model as it runs here."""
    torch.set_num_threads(1)
    asked = parser_of("speculation", __doc__).parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = make(asked.model, Path(asked.folder or scratch))
        checkpoint = loaded(asked.model, path)
    batch = measured_batch(checkpoint, allow_fallback=asked.allow_fallback)
    if not isinstance(batch, SlotBatch):
        raise SystemExit(f"{asked.model} answers one question at a time, where nothing is guessed.")
    shares = " | ".join(f"{right:.0%}" for right in RIGHT)
    print(f"| {checkpoint.kernel}, rows | a token without | {shares} |")
    print("| --- " * (2 + len(RIGHT)) + "|")
    for count in COUNTS:
        without: list[float] = []
        times: dict[float, list[float]] = {right: [] for right in RIGHT}
        for _ in range(ROUNDS):
            without.append(_token_s(batch, count, None))
            for right in RIGHT:
                times[right].append(_token_s(batch, count, right))
        base = median(without)
        shown = " | ".join(f"{median(times[right]) / base:.2f}" for right in RIGHT)
        print(f"| {count} | {1000 * base:.1f} ms | {shown} |", flush=True)


def _token_s(batch: SlotBatch, count: int, right: float | None) -> float:
    """Seconds a token of each row, prefill left out."""
    batch.pass_tokens = 1 if right is None else PASS_TOKENS
    length = PROMPT_TOKENS + ANSWER_TOKENS
    scripts = [[(7 * row + 3 * at) % 997 + 5 for at in range(length)] for row in range(count)]
    rows = [ScriptedRow(batch.checkpoint, script, right or 0.0) for script in scripts]
    for row in rows:
        batch.join(row)
    running: list[Row] = list(rows)
    began_s: float | None = None
    while running:
        if began_s is None and all(row.chosen for row in rows):
            began_s = time.thread_time()
        for row in batch.step():
            row.choose()
            while row.tokens_left and row.advance():
                row.choose()
            if not row.tokens_left:
                running.remove(row)
                batch.leave(row)
    assert began_s is not None
    return (time.thread_time() - began_s) / (ANSWER_TOKENS - 1)


if __name__ == "__main__":
    main()
