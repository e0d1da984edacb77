"""Comparing sampling settings by how answers end."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from bench.answers.asking import Answered
from bench.answers.prompts import Chat
from bot.engine.base import FinishReason, SamplingParameters

DEFAULT = "default"
BAD = (FinishReason.REPETITION, FinishReason.LENGTH, FinishReason.TIME, FinishReason.ERROR)


@dataclass(frozen=True, slots=True)
class Trial:
    """Sampling parameters that replace the model's own."""

    name: str
    changes: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "temperature=0.2,top_k=40"."""
        if text == DEFAULT:
            return cls(text, {})
        changes: dict[str, float] = {}
        for part in text.split(","):
            name, equals, value = part.partition("=")
            known = getattr(SamplingParameters(), name, None)
            if not equals or not isinstance(known, (int, float)):
                raise argparse.ArgumentTypeError(f"no sampling parameter: {part}")
            changes[name] = type(known)(value)
        return cls(text, changes)


def trial_line(
    model: str, trial: Trial, chats: Sequence[Chat], played: Sequence[Sequence[Sequence[Answered]]]
) -> str:
    """One line: how many answers ended badly over all seeds, which, and how long answers are."""
    ends = [
        (chat.id, answered)
        for by_chat in played
        for chat, answers in zip(chats, by_chat, strict=True)
        for answered in answers
    ]
    counts = [sum(answered.reason is reason for _id, answered in ends) for reason in BAD]
    bad = [f"{id_} ({one.reason})" for id_, one in ends if one.reason in BAD]
    mean = sum(one.tokens for _id, one in ends) / len(ends)
    figures = ", ".join(f"{reason} {count}" for reason, count in zip(BAD, counts, strict=True))
    result = f"{len(ends)} answers, {figures}, mean {mean:.0f} tokens"
    return f"{model} | {trial.name} | {result} | {', '.join(bad)}"
