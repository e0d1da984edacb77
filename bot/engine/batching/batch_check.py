"""Whether a batch gives what the model itself gives, checked when a model is loaded.

Three short chats in the model's own template go through the batch: the second joins while the first
is answered, and the third takes the place that the first has left. What their logits should be is
computed a precision wider (`reference`). The batch may be twice as far from that as the model's own
modules are, which are given each text alone and whole: both round, at different places.

Errors are measured among the tokens that could be chosen. A vocabulary also holds tokens that were
hardly trained; their logits are large and chaotic in half precision, and a norm over all of them
tells right from wrong no more.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from typing_extensions import override

from bot.conversation import Role, Turn
from bot.engine.base import SamplingParameters
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.reference import Text, own_logits, wide_logits
from bot.engine.text.prompt import build_prompt

Chat = tuple[Sequence[str], str]
"""What was said in turn, and the answer that is fed a token at a time."""

CHATS: tuple[Chat, Chat, Chat] = (
    (
        (
            "How old is the sun?",
            "About four and a half billion years.",
            "And who found that out, and how?",
        ),
        "Meteorites told us: some elements in them decay at a known rate.",
    ),
    (("Hello!",), "Hello! What would you like to know today?"),
    (
        ("Write a function in Python that adds two numbers.",),
        "def add(first, second):\n    return first + second\n",
    ),
)

STEPS = 6
"""Tokens that the rows are fed between two who join."""

CANDIDATES = 64
"""So many of the likeliest tokens are compared."""

MOST_TIMES_OWN = 2.0
"""How far a batch may be from the wide logits, as a multiple of the modules' own distance."""

SURE_TIMES_OWN = 8.0
"""A first choice must be the same where it leads by so many times the modules' distance: it and the
second may each be moved by twice that, and single tokens are moved twice as far as most."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a batch and the model's own modules are from the wide logits: root mean squares over
    the tokens compared. Of `sure` first choices, which the modules make too, `changed` are others.
    """

    error: float
    own_error: float
    sure: int
    changed: int

    @property
    def is_right(self) -> bool:
        """Whether the batch gives what the model gives. What is not a number is not right."""
        return self.error <= MOST_TIMES_OWN * self.own_error and self.changed == 0

    @override
    def __str__(self) -> str:
        return (
            f"its logits are off by {self.error:.2g} where the model's own modules are off by "
            f"{self.own_error:.2g}, and {self.changed} of {self.sure} sure choices differ"
        )


def examine(
    checkpoint: Checkpoint,
    batch: SlotBatch,
    between_passes: Callable[[], None] = lambda: None,
    chats: tuple[Chat, Chat, Chat] = CHATS,
) -> Agreement:
    """Feed three chats to an empty batch and compare. `between_passes` is called between its passes
    and between the layers of what it is compared with.
    """
    answers = [_Answer.begun(checkpoint, *chat) for chat in chats]
    _play(batch, answers, between_passes)
    texts = [Text(each.row.source, each.row.history[:-1]) for each in answers]
    expected = wide_logits(checkpoint, texts, between_passes)
    own: list[torch.Tensor] = []
    for text in texts:
        own.append(own_logits(checkpoint, text))
        between_passes()
    return _compared(
        torch.stack([logits for each in answers for logits in each.given.values()]),
        *(
            torch.cat([logits[[*each.given]] for each, logits in zip(answers, some, strict=True)])
            for some in (own, expected)
        ),
    )


def warm_up(checkpoint: Checkpoint, batch: SlotBatch) -> None:
    """One token through an empty batch: the first pass of a process is slow."""
    answer = _Answer.begun(checkpoint, *CHATS[1])
    batch.join(answer.row)
    while not batch.step():
        pass
    batch.leave(answer.row)


@dataclass(slots=True)
class _Answer:
    """A row, the tokens that it is fed, and the logits that it was given by their place."""

    row: Row
    tokens: Sequence[int]
    given: dict[int, torch.Tensor] = field(default_factory=dict[int, torch.Tensor])

    @classmethod
    def begun(cls, checkpoint: Checkpoint, turns: Sequence[str], answer: str) -> "_Answer":
        tokens = checkpoint.tokenizer.encode(answer) or [0]
        sampling = SamplingParameters(temperature=0, max_tokens=4 * STEPS)
        roles = (Role.USER, Role.ASSISTANT)
        prompt = build_prompt(
            [Turn(roles[index % 2], text) for index, text in enumerate(turns)],
            feed=checkpoint.blueprint.feed,
            tokenizer=checkpoint.tokenizer,
            window=checkpoint.blueprint.window,
            max_tokens=sampling.max_tokens,
            has_system_prompt=False,
            is_raw=False,
        )
        return cls(Row(checkpoint, prompt.ids, sampling), tokens)

    def take(self) -> None:
        """Keep what the row was given, and say the next token."""
        assert self.row.logits is not None
        self.row.history.append(self.tokens[len(self.given) % len(self.tokens)])
        self.given[len(self.row.history) - 2] = self.row.logits


def _play(batch: SlotBatch, answers: Sequence[_Answer], between_passes: Callable[[], None]) -> None:
    """Who comes and who goes."""
    first, second, third = answers
    for joining, leaving in ((first, None), (second, None), (third, first)):
        if leaving is not None:
            batch.leave(leaving.row)
        batch.join(joining.row)
        while len(joining.given) < STEPS:
            ready = batch.step()
            between_passes()
            for each in answers:
                if each.row in ready:
                    each.take()
    batch.leave(second.row)
    batch.leave(third.row)


def _compared(given: torch.Tensor, own: torch.Tensor, expected: torch.Tensor) -> Agreement:
    """Compare logits [tokens, vocabulary]."""
    best, candidates = expected.topk(min(CANDIDATES, expected.shape[1]))

    def error(logits: torch.Tensor) -> float:
        off = logits.gather(1, candidates).to(best.dtype) - best
        # What all of them have gained or lost alike changes no choice.
        return float((off - off.mean(dim=1, keepdim=True)).square().mean().sqrt())

    own_error = error(own)
    leads_far = best[:, 0] - best[:, 1] > SURE_TIMES_OWN * own_error
    is_sure = leads_far & (own.argmax(dim=1) == candidates[:, 0])
    is_changed = is_sure & (given.argmax(dim=1) != candidates[:, 0])
    return Agreement(error(given), own_error, int(is_sure.sum()), int(is_changed.sum()))
