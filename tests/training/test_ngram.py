"""The Kneser-Ney yardstick is a probability distribution, and backs off as it should."""

from itertools import product
from random import Random

import pytest

from training.ngram import KneserNey

VOCABULARY = 12


def _sequences() -> list[list[int]]:
    random = Random(0)
    weights = [2.0**-token for token in range(10)]
    return [[10, *random.choices(range(10), weights, k=20), 11] for _ in range(60)]


@pytest.mark.parametrize("history", [(), (0,), (10,), (0, 1), (10, 0), (9, 9), (11, 3)])
def test_probabilities_sum_to_one_over_the_vocabulary(history: tuple[int, ...]) -> None:
    model = KneserNey(_sequences(), VOCABULARY)
    total = sum(model.probability(history, token) for token in range(VOCABULARY))
    assert total == pytest.approx(1.0)


def test_every_token_is_possible_after_every_history() -> None:
    model = KneserNey(_sequences(), VOCABULARY)
    for first, second in product(range(VOCABULARY), repeat=2):
        assert all(model.probability((first, second), token) > 0 for token in range(VOCABULARY))


def test_what_followed_before_is_likelier_than_what_never_did() -> None:
    model = KneserNey([[0, 1, 2, 3]] * 5 + [[0, 1, 2, 4]], VOCABULARY)
    after = [model.probability((1, 2), token) for token in (3, 4, 5)]
    assert after[0] > after[1] > after[2]


def test_only_the_last_two_tokens_count() -> None:
    model = KneserNey(_sequences(), VOCABULARY)
    assert model.probability((7, 3, 0, 1), 2) == model.probability((0, 1), 2)
