"""A modified Kneser-Ney trigram model over tokens: the yardstick for bits per character.

Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1999),
section 3: three discounts for each order, estimated from counts of counts; lower orders
count the distinct contexts that a token follows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Gram = tuple[int, ...]
ORDER = 3


@dataclass(slots=True)
class _Context:
    """What followed one history: the total, and how many tokens were seen once, twice, more."""

    total: int = 0
    seen: list[int] = field(default_factory=lambda: [0, 0, 0])


class KneserNey:
    """The probability of a token after up to two others; sums to one over the vocabulary."""

    def __init__(self, sequences: Iterable[Sequence[int]], vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._counts = _adjusted_counts(sequences)
        self._discounts = [_discounts(counts) for counts in self._counts]
        self._contexts = [_contexts(counts) for counts in self._counts]

    def probability(self, history: Sequence[int], token: int) -> float:
        """The probability of a token; only the last two of the history count."""
        kept = tuple(history)[-(ORDER - 1) :]
        probability = 1 / self._vocabulary
        for length in range(len(kept) + 1):
            context = kept[len(kept) - length :]
            probability = self._interpolate(context, token, probability)
        return probability

    def _interpolate(self, context: Gram, token: int, lower: float) -> float:
        """One order up: the discounted count, and the mass it frees times the lower order."""
        order = len(context)
        following = self._contexts[order].get(context)
        if following is None:
            return lower
        discounts = self._discounts[order]
        count = self._counts[order].get((*context, token), 0)
        kept = count - (discounts[min(count, 3) - 1] if count else 0.0)
        freed = sum(d * n for d, n in zip(discounts, following.seen, strict=True))
        return (kept + freed * lower) / following.total


def _adjusted_counts(sequences: Iterable[Sequence[int]]) -> list[Counter[Gram]]:
    """Counts for the highest order and for grams that start a sequence; else distinct left sides.

    Sequences are padded by nothing: their first token is a mark that never comes again.
    """
    raw: list[Counter[Gram]] = [Counter() for _ in range(ORDER)]
    starts: list[Counter[Gram]] = [Counter() for _ in range(ORDER)]
    for sequence in sequences:
        for order in range(1, ORDER + 1):
            grams = zip(*(sequence[offset:] for offset in range(order)), strict=False)
            raw[order - 1].update(grams)
            starts[order - 1][tuple(sequence[:order])] += 1
    adjusted = [raw[-1]]
    for order in range(ORDER - 1, 0, -1):
        left_sides = Counter(gram[1:] for gram in raw[order])
        left_sides.update(starts[order - 1])
        adjusted.insert(0, left_sides)
    return adjusted


def _discounts(counts: Counter[Gram]) -> tuple[float, float, float]:
    """The three discounts of an order; a half each where there is too little text to tell."""
    n = Counter(min(count, 5) for count in counts.values())
    if min(n[1], n[2], n[3]) == 0:
        return (0.5, 0.5, 0.5)
    y = n[1] / (n[1] + 2 * n[2])
    found = (1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3])
    first, second, third = (max(0.0, min(d, i + 0.9)) for i, d in enumerate(found))
    return (first, second, third)


def _contexts(counts: Counter[Gram]) -> dict[Gram, _Context]:
    contexts: dict[Gram, _Context] = defaultdict(_Context)
    for gram, count in counts.items():
        context = contexts[gram[:-1]]
        context.total += count
        context.seen[min(count, 3) - 1] += 1
    return dict(contexts)
