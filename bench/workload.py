"""What every way of answering is asked, and the figures that are taken of it.

Standard library only: other servers' environments import it too.
"""

import math
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass

ANSWER_TOKENS = 48
STAGGER_S = float(os.environ.get("BENCH_STAGGER_S", "0.01"))
"""Between the arrivals of two questions: so little that small models have not answered the first
when the last comes."""

QUESTION = "tell me a little about the place where you live and what you like to do there"


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: when it was asked for, when its first and last tokens came (seconds)."""

    asked_s: float
    first_s: float
    ended_s: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run gave. Times in seconds but where the name says milliseconds; memory in MiB.

    `first_token_*` count from the arrival of a question, waiting included; `token_gap_s` is the
    time between two tokens of one answer. NaN stands for what a way cannot tell.
    """

    tokens_per_s: float
    first_token_p50_s: float
    first_token_p99_s: float
    token_gap_s: float
    load_s: float
    memory_mib: float
    lag_p99_ms: float = math.nan
    lag_max_ms: float = math.nan


def question(number: int) -> str:
    """The question of a conversation; no two are the same."""
    return f"{QUESTION} ({number})"


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    known = sorted(value for value in values if not math.isnan(value))
    return known[min(len(known) - 1, math.ceil(share * len(known)) - 1)] if known else math.nan


def measured(answers: Sequence[Answered], load_s: float, lags_s: Sequence[float] = ()) -> Measured:
    """The figures of one run."""
    took_s = max(one.ended_s for one in answers) - min(one.asked_s for one in answers)
    gaps = [(one.ended_s - one.first_s) / (one.tokens - 1) for one in answers if one.tokens > 1]
    firsts = [one.first_s - one.asked_s for one in answers]
    return Measured(
        tokens_per_s=sum(one.tokens for one in answers) / took_s,
        first_token_p50_s=percentile(firsts, 0.5),
        first_token_p99_s=percentile(firsts, 0.99),
        token_gap_s=percentile(gaps, 0.5),
        load_s=load_s,
        memory_mib=peak_memory_mib(),
        lag_p99_ms=1000 * percentile(lags_s, 0.99),
        lag_max_ms=1000 * percentile(lags_s, 1.0),
    )


def peak_memory_mib() -> float:
    """The most memory that this process has held resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
