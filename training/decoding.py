"""Answers for the report, chosen exactly as Fireside's engine chooses them.

Which token is drawn is the engine's own code (`bot.engine.text.sampling`); what is left out here
is batching with other people's questions, streaming and deadlines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM

from bot.engine.base import SamplingParameters
from bot.engine.text.sampling import choose, log_probability
from training.tokenizer import CONTEXT, END, special_id

# Chosen by reading samples; see the model card. The penalty stays off: it would also make the
# end mark, which every earlier turn holds, less likely. No 14 tokens come twice in a conversation,
# so that a whole answer does not.
DEFAULTS = SamplingParameters(
    temperature=0.6, top_p=0.9, no_repeat_ngram_size=14, max_tokens=64, best_of=4
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of an answer without its end mark, and whether it ended by itself."""

    ids: tuple[int, ...]
    has_ended: bool
    mean_log_probability: float


def answer(
    model: LlamaForCausalLM,
    prompt: Sequence[int],
    sampling: SamplingParameters,
    generator: torch.Generator,
) -> Answer:
    """The likeliest of `best_of` answers; those that ended by themselves go first."""
    drawn = draw(model, prompt, sampling, generator)
    ended = [candidate for candidate in drawn if candidate.has_ended]
    return max(ended or drawn, key=lambda candidate: candidate.mean_log_probability)


@torch.inference_mode()
def draw(
    model: LlamaForCausalLM,
    prompt: Sequence[int],
    sampling: SamplingParameters,
    generator: torch.Generator,
) -> list[Answer]:
    """All `best_of` answers, drawn side by side; `prompt` ends with the bot's mark."""
    context = list(prompt)[-(CONTEXT - sampling.max_tokens) :]
    rows: list[list[int]] = [[] for _ in range(sampling.best_of)]
    totals = [0.0] * sampling.best_of
    output = model(torch.tensor([context] * sampling.best_of), use_cache=True)
    for _ in range(sampling.max_tokens):
        logits = output.logits[:, -1].float()
        for index, row in enumerate(rows):
            if not _is_ended(row):
                token = choose(logits[index], [*context, *row], sampling, generator)
                row.append(token)
                totals[index] += log_probability(logits[index], token)
        if all(_is_ended(row) for row in rows):
            break
        last = torch.tensor([[row[-1]] for row in rows])
        output = model(last, past_key_values=output.past_key_values, use_cache=True)
    return [_finish(row, total) for row, total in zip(rows, totals, strict=True)]


def _is_ended(row: Sequence[int]) -> bool:
    return bool(row) and row[-1] == special_id(END)


def _finish(row: Sequence[int], total: float) -> Answer:
    has_ended = _is_ended(row)
    return Answer(tuple(row[:-1] if has_ended else row), has_ended, total / len(row))
