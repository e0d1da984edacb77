"""Comparing sampling settings by how answers end."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from bench.answers.asking import Answered
from bench.answers.prompts import Chat
from bot.engine.base import FinishReason
from config.catalogue import Sampling

DEFAULT = "default"
BAD = (FinishReason.REPETITION, FinishReason.LENGTH, FinishReason.TIME, FinishReason.ERROR)


@dataclass(frozen=True, slots=True)
class Trial:
    """Sampling parameters that replace the model's own."""

    name: str
    changes: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "temperature=0.2,top_k=40"; what has two figures is written "100/1.005"."""
        if text == DEFAULT:
            return cls(text, {})
        try:
            given = (part.split("=") for part in text.split(","))
            stated = {name: _figures(value) for name, value in given}
            sampling = Sampling.model_validate(stated).model_dump(exclude_none=True)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"no sampling parameters: {text}") from error
        return cls(text, sampling)


def _figures(text: str) -> str | list[str]:
    return text.split("/") if "/" in text else text


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
