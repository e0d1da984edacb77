"""How one row chooses its next token; the filters mean what transformers' processors mean.

The order is that of `generate`: repetition penalty, repeated n-grams, then, when sampling,
temperature, top-k, top-p and min-p. Two differences are deliberate. The penalties leave the tokens
in `spared` alone: those are special tokens, which a chat template repeats after every turn, and
with transformers' processors each turn makes the end of the answer less likely, so that answers
ramble. And the history that they count is the answer without its prompt (`batching.row`).
"""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import torch

from bot.engine.base import SamplingParameters

NEVER = float("-inf")


def choose(
    logits: torch.Tensor,
    history: Sequence[int],
    parameters: SamplingParameters,
    generator: torch.Generator,
    spared: AbstractSet[int] = frozenset(),
) -> int:
    """The next token from logits [vocabulary]; `history` is what the row has seen and said."""
    scores = penalized(logits, history, parameters, spared)
    if parameters.temperature == 0:
        return highest(scores)
    candidates = likeliest(scores / parameters.temperature, parameters)
    if candidates is None:
        weights = torch.softmax(warped(scores, parameters), dim=-1)
        return int(torch.multinomial(weights, 1, generator=generator))
    tokens, scores = candidates
    weights = torch.softmax(scores, dim=-1)
    return int(tokens[torch.multinomial(weights, 1, generator=generator)])


def likeliest(
    scores: torch.Tensor, parameters: SamplingParameters
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The tokens that `warped` leaves and their scores, found without sorting the vocabulary.

    Scores are divided by the temperature already. None where neither top-k nor top-p bounds them:
    then the whole vocabulary decides.
    """
    tail = 0.0
    if parameters.top_k:
        best, tokens = _at_least(scores, _least_of_best(scores, parameters.top_k))
        weights = torch.softmax(best, dim=-1)
    elif parameters.top_p < 1:
        # All that weigh less than an equal share of what top-p leaves out are left out: together
        # they weigh less than it.
        shares = torch.softmax(scores, dim=-1)
        weights, tokens = _at_least(shares, (1 - parameters.top_p) / len(shares))
        best = scores[tokens]
        tail = max(0.0, 1 - float(weights.sum()))
    else:
        return None
    if parameters.top_p < 1:
        # From the least likely on, as transformers sums them up.
        kept = weights.flip(0).cumsum(0).flip(0) + tail > 1 - parameters.top_p
        kept[0] = True
        tokens, best = tokens[kept], best[kept]
    if parameters.min_p:
        kept = (best - best[0]).exp() >= parameters.min_p
        tokens, best = tokens[kept], best[kept]
    return tokens, best


def highest(scores: torch.Tensor) -> int:
    """The token with the highest score, the first of equals; one whose score is no number if there
    is any.
    """
    # On the CPU numpy finds it twenty times as fast.
    return int(scores.numpy().argmax() if scores.device.type == "cpu" else scores.argmax())


def _least_of_best(scores: torch.Tensor, count: int) -> float:
    """The score of the last of the best `count`, or of all where there are fewer."""
    count = min(count, len(scores))
    if scores.device.type == "cpu":
        return float(np.partition(scores.numpy(), -count)[-count])
    return float(torch.topk(scores, count).values[-1])


def _at_least(scores: torch.Tensor, least: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The scores that are no less, the highest first, and their tokens; the highest one always."""
    if scores.device.type == "cpu":
        # On the CPU numpy finds them many times as fast.
        tokens = torch.as_tensor(np.flatnonzero(scores.numpy() >= least))
    else:
        tokens = (scores >= least).nonzero().flatten()
    if not len(tokens):
        tokens = scores.argmax()[None]
    best, order = scores[tokens].sort(descending=True, stable=True)
    return best, tokens[order]


def probabilities_of(logits: torch.Tensor, chosen: int, count: int) -> list[tuple[int, float]]:
    """The likeliest tokens and their probabilities, of logits [vocabulary], unfiltered.

    The chosen one is the last of them where it is not among the first `count`.
    """
    probabilities = torch.softmax(logits.float(), dim=-1)
    best = torch.topk(probabilities, min(count, probabilities.shape[-1]))
    found = [(int(id_), float(probabilities[id_])) for id_ in best.indices]
    if chosen not in [id_ for id_, _share in found]:
        found[-1] = (chosen, float(probabilities[chosen]))
    return found


def penalized(
    logits: torch.Tensor,
    history: Sequence[int],
    parameters: SamplingParameters,
    spared: AbstractSet[int] = frozenset(),
) -> torch.Tensor:
    """The logits after what also holds for greedy decoding; those of `spared` tokens are kept."""
    penalty = parameters.repetition_penalty
    if penalty != 1 and history:
        repeated = list(set(history) - spared)
        seen = torch.tensor(repeated, dtype=torch.long, device=logits.device)
        seen = seen[seen < logits.shape[-1]]
        scores = logits[seen]
        scores = torch.where(scores < 0, scores * penalty, scores / penalty)
        logits = logits.index_copy(0, seen, scores)
    if parameters.no_repeat_ngram_size:
        banned = set(followers(history, history, parameters.no_repeat_ngram_size)) - spared
        logits = without(logits, banned)
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
    suffix = list(said[len(said) - size + 1 :])
    if not suffix:
        return list(source)
    last = suffix[-1]
    return [
        source[at + 1]
        for at in range(size - 2, len(source) - 1)
        if source[at] == last and list(source[at - size + 2 : at + 1]) == suffix
    ]


def without(logits: torch.Tensor, tokens: Collection[int]) -> torch.Tensor:
    """The logits with these tokens made impossible."""
    allowed = [token for token in tokens if token < logits.shape[-1]]
    if not allowed:
        return logits
    return logits.index_fill(0, torch.tensor(allowed, device=logits.device), NEVER)


def nearer_to_the_end(
    logits: torch.Tensor, ends: Collection[int], said: int, penalty: tuple[int, float]
) -> torch.Tensor:
    """The logits with the end tokens made likelier after `said` tokens of an answer.

    `penalty` is a length and a factor: from that length on the end grows likelier with each token,
    as `ExponentialDecayLengthPenalty` of transformers has it.
    """
    start, factor = penalty
    if said <= start:
        return logits
    known = [token for token in ends if token < logits.shape[-1]]
    which = torch.tensor(known, dtype=torch.long, device=logits.device)
    found = logits[which]
    raised = found + found.abs() * (factor ** (said - start) - 1)
    return logits.index_copy(0, which, torch.where(found.isfinite(), raised, found))


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
