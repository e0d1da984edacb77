"""How one row chooses its next token; the filters mean what transformers' processors mean.

The order is that of `generate`: repetition penalty, repeated n-grams, then, when sampling,
temperature, top-k, top-p and min-p.
"""

from collections.abc import Sequence

import torch

from bot.engine.base import SamplingParameters

NEVER = float("-inf")


def choose(
    logits: torch.Tensor,
    history: Sequence[int],
    parameters: SamplingParameters,
    generator: torch.Generator,
) -> int:
    """The next token from logits [vocabulary]; `history` is what the row has seen and said."""
    scores = penalized(logits, history, parameters)
    if parameters.temperature == 0:
        return int(scores.argmax())
    weights = torch.softmax(warped(scores, parameters), dim=-1)
    return int(torch.multinomial(weights, 1, generator=generator))


def penalized(
    logits: torch.Tensor, history: Sequence[int], parameters: SamplingParameters
) -> torch.Tensor:
    """The logits after what also holds for greedy decoding."""
    penalty = parameters.repetition_penalty
    if penalty != 1 and history:
        seen = torch.tensor(sorted(set(history)), device=logits.device)
        seen = seen[seen < logits.shape[-1]]
        scores = logits[seen]
        scores = torch.where(scores < 0, scores * penalty, scores / penalty)
        logits = logits.index_copy(0, seen, scores)
    if parameters.no_repeat_ngram_size:
        logits = without(logits, followers(history, history, parameters.no_repeat_ngram_size))
    return logits


def warped(scores: torch.Tensor, parameters: SamplingParameters) -> torch.Tensor:
    """The scores after what holds for sampling only."""
    scores = scores / parameters.temperature
    if parameters.top_k:
        least = torch.topk(scores, min(parameters.top_k, scores.shape[-1])).values[-1]
        scores = scores.masked_fill(scores < least, NEVER)
    if parameters.top_p < 1:
        ordered, order = torch.sort(scores)
        unlikely = torch.softmax(ordered, dim=-1).cumsum(dim=-1) <= 1 - parameters.top_p
        unlikely[-1] = False
        scores = scores.index_fill(0, order[unlikely], NEVER)
    if parameters.min_p:
        weights = torch.softmax(scores, dim=-1)
        best = int(weights.argmax())
        unlikely = weights < parameters.min_p * weights[best]
        unlikely[best] = False
        scores = scores.masked_fill(unlikely, NEVER)
    return scores


def followers(said: Sequence[int], source: Sequence[int], size: int) -> list[int]:
    """The tokens that would complete an n-gram of `source` after what was said."""
    if len(said) < size - 1 or len(source) < size:
        return []
    suffix = tuple(said[len(said) - size + 1 :])
    starts = range(len(source) - size + 1)
    return [
        source[start + size - 1]
        for start in starts
        if tuple(source[start : start + size - 1]) == suffix
    ]


def without(logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """The logits with these tokens made impossible."""
    allowed = [token for token in tokens if token < logits.shape[-1]]
    if not allowed:
        return logits
    return logits.index_fill(0, torch.tensor(allowed, device=logits.device), NEVER)


def log_probability(logits: torch.Tensor, token: int) -> float:
    """How likely the model itself, without any filter, found a token."""
    return float(torch.log_softmax(logits, dim=-1)[token])


def seeded_generator(seed: int | None, row: int, device: torch.device) -> torch.Generator:
    """A row's own source of chance, so that its text does not depend on its neighbours."""
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed((seed + row) % 2**63)
    return generator
