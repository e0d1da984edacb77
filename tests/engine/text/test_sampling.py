"""Sampling: the same distribution as transformers' own processors, row by row."""

from dataclasses import replace
from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    ExponentialDecayLengthPenalty,
    LogitsProcessor,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from bot.engine.base import SamplingParameters
from bot.engine.text.sampling import (
    choose,
    followers,
    likeliest,
    log_probability,
    nearer_to_the_end,
    penalized,
    seeded_generator,
    warped,
)

VOCABULARY = 12
CPU = torch.device("cpu")

logits_of = st.lists(
    st.floats(-20, 20, width=32), min_size=VOCABULARY, max_size=VOCABULARY, unique=True
).map(torch.tensor)
histories = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=20)
spared_sets = st.frozensets(st.integers(0, VOCABULARY - 1), max_size=4)
parameters_of = st.builds(
    SamplingParameters,
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, VOCABULARY + 3),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 0.9),
    repetition_penalty=st.floats(0.5, 2),
    no_repeat_ngram_size=st.integers(0, 4),
)


def penalties(parameters: SamplingParameters) -> list[LogitsProcessor]:
    """transformers' own."""
    processors: list[LogitsProcessor] = []
    if parameters.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(parameters.repetition_penalty))
    if parameters.no_repeat_ngram_size:
        processors.append(NoRepeatNGramLogitsProcessor(parameters.no_repeat_ngram_size))
    return processors


def theirs(
    logits: torch.Tensor, history: list[int], parameters: SamplingParameters
) -> torch.Tensor:
    processors = penalties(parameters)
    processors.append(TemperatureLogitsWarper(parameters.temperature))
    if parameters.top_k:
        processors.append(TopKLogitsWarper(parameters.top_k))
    if parameters.top_p < 1:
        processors.append(TopPLogitsWarper(parameters.top_p))
    if parameters.min_p:
        processors.append(MinPLogitsWarper(parameters.min_p))
    ids = torch.tensor([history])
    scores = logits[None].clone()
    for processor in processors:
        scores = processor(cast("torch.LongTensor", ids), scores)
    return scores[0]


@given(logits_of, histories, parameters_of)
def test_the_scores_are_those_of_transformers_processors(
    logits: torch.Tensor, history: list[int], parameters: SamplingParameters
) -> None:
    expected = theirs(logits, history, parameters)
    ours = warped(penalized(logits, history, parameters), parameters)
    if not torch.isnan(expected).any():  # every token banned: transformers gives no numbers either
        torch.testing.assert_close(ours, expected)


@given(logits_of, histories, parameters_of, spared_sets)
def test_penalties_are_those_of_transformers_on_text_and_leave_special_tokens_alone(
    logits: torch.Tensor, history: list[int], parameters: SamplingParameters, spared: frozenset[int]
) -> None:
    expected = logits[None].clone()
    for processor in penalties(parameters):
        expected = processor(cast("torch.LongTensor", torch.tensor([history])), expected)
    special = sorted(spared)
    expected[0, special] = logits[special]
    torch.testing.assert_close(penalized(logits, history, parameters, spared), expected[0])


def test_the_end_of_a_turn_is_as_likely_after_many_turns_as_after_none() -> None:
    end, word = 3, 5
    logits = torch.zeros(VOCABULARY)
    logits[end], logits[word] = 2.0, 1.9
    parameters = SamplingParameters(temperature=0, repetition_penalty=1.1, no_repeat_ngram_size=2)
    history = [7, end, 7, end, 7, end, 7]
    generator = seeded_generator(1, 0, CPU)
    assert choose(logits, history, parameters, generator, frozenset({end})) == end
    assert choose(logits, history, parameters, generator) == word


@given(
    logits_of,
    st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=3, unique=True),
    st.integers(0, 40),
    st.tuples(st.integers(0, 30), st.floats(1, 1.5)),
)
def test_an_answers_end_grows_likelier_as_with_transformers_processor(
    logits: torch.Tensor, ends: list[int], said: int, penalty: tuple[int, float]
) -> None:
    processor = ExponentialDecayLengthPenalty(penalty, ends, 5)
    ids = cast("torch.LongTensor", torch.zeros((1, 5 + said), dtype=torch.long))
    expected = processor(ids, cast("torch.FloatTensor", logits[None].clone()))[0]
    torch.testing.assert_close(nearer_to_the_end(logits, ends, said, penalty), expected)


def test_an_end_that_was_made_impossible_stays_so() -> None:
    logits = torch.tensor([0.0, float("-inf")])
    assert torch.equal(nearer_to_the_end(logits, [1, 9], 20, (0, 1.1)), logits)


def kept_by(scores: torch.Tensor) -> set[int]:
    return as_set(torch.isfinite(scores).nonzero().flatten())


def as_set(tokens: torch.Tensor) -> set[int]:
    return {int(token) for token in tokens}


@given(logits_of, parameters_of)
def test_the_likeliest_are_those_that_transformers_processors_leave(
    logits: torch.Tensor, parameters: SamplingParameters
) -> None:
    found = likeliest(logits / parameters.temperature, parameters)
    if found is None:
        assert parameters.top_p == 1
        return
    expected = theirs(
        logits, [0], replace(parameters, repetition_penalty=1, no_repeat_ngram_size=0)
    )
    tokens, scores = found
    # Where sums end at the border to the last digit, one token more or less is as right.
    assert len(kept_by(expected) ^ as_set(tokens)) <= 1
    both = [index for index, token in enumerate(tokens) if int(token) in kept_by(expected)]
    torch.testing.assert_close(scores[both], expected[tokens[both]])


@pytest.mark.parametrize(
    "parameters",
    [
        SamplingParameters(temperature=0.7, top_p=0.8, top_k=20),
        SamplingParameters(temperature=0.7, top_p=0.9),
        SamplingParameters(temperature=0.7, top_p=0.95, min_p=0.05),
        SamplingParameters(temperature=2.0, top_p=0.99),
        SamplingParameters(temperature=1.0, min_p=0.1),
    ],
)
def test_in_a_large_vocabulary_the_same_tokens_are_left(parameters: SamplingParameters) -> None:
    logits = 4 * torch.randn(30_000, generator=torch.Generator().manual_seed(2))
    expected = kept_by(theirs(logits, [0], parameters))
    found = likeliest(logits / parameters.temperature, parameters)
    assert (found is None) == (parameters.top_p == 1)
    if found is not None:
        assert len(expected ^ as_set(found[0])) <= 1


def test_equals_at_the_border_of_the_best_are_all_left() -> None:
    logits = torch.tensor([3.0, 2.0, 2.0, 1.0])
    parameters = SamplingParameters(temperature=1.0, top_k=2)
    found = likeliest(logits, parameters)
    assert found is not None
    assert as_set(found[0]) == {0, 1, 2}
    generator = seeded_generator(5, 0, CPU)
    assert {choose(logits, [], parameters, generator) for _ in range(100)} == {0, 1, 2}


@given(logits_of, histories, st.floats(0.5, 2), st.integers(0, 4))
def test_greedy_takes_the_best_after_the_penalties(
    logits: torch.Tensor, history: list[int], penalty: float, size: int
) -> None:
    parameters = SamplingParameters(
        temperature=0, repetition_penalty=penalty, no_repeat_ngram_size=size
    )
    expected = theirs(
        logits, history,
        SamplingParameters(temperature=1.0, repetition_penalty=penalty, no_repeat_ngram_size=size),
    )  # fmt: skip
    token = choose(logits, history, parameters, seeded_generator(1, 0, CPU))
    assert expected[token] == expected.max()


@given(logits_of, histories, parameters_of, st.integers(0, 2**31))
def test_the_same_seed_chooses_the_same_token(
    logits: torch.Tensor, history: list[int], parameters: SamplingParameters, seed: int
) -> None:
    chosen = {choose(logits, [], parameters, seeded_generator(seed, 0, CPU)) for _ in range(3)}
    assert len(chosen) == 1


def test_what_is_filtered_out_is_never_chosen() -> None:
    logits = torch.arange(VOCABULARY, dtype=torch.float32) / 10
    parameters = SamplingParameters(temperature=1.0, top_k=3)
    generator = seeded_generator(5, 0, CPU)
    chosen = {choose(logits, [], parameters, generator) for _ in range(200)}
    assert chosen == {9, 10, 11}


def test_rows_of_one_seed_differ_and_no_seed_is_chance() -> None:
    logits = torch.zeros(1000)
    parameters = SamplingParameters(temperature=1.0)
    rows = {choose(logits, [], parameters, seeded_generator(5, row, CPU)) for row in range(8)}
    free = {choose(logits, [], parameters, seeded_generator(None, 0, CPU)) for _ in range(8)}
    assert len(rows) > 4
    assert len(free) > 4


def test_followers_are_what_would_complete_an_ngram_of_the_source() -> None:
    assert followers([7, 1, 2], [1, 2, 3, 9, 1, 2, 4], 3) == [3, 4]
    assert followers([1], [1, 2, 3], 3) == []


def test_log_probability_is_of_the_unfiltered_distribution() -> None:
    logits = torch.tensor([0.0, 0.0, 0.0, 0.0])
    assert log_probability(logits, 2) == torch.log(torch.tensor(0.25)).item()
