"""Conversations as token ids, with the mask that says which tokens count for the loss.

Role marks and the opening mark never count: they are given, not predicted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tokenizers import Tokenizer

from training.conversation import Conversation
from training.tidy import tidy
from training.tokenizer import BEGIN, BOT, END, USER, special_id

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn, encoded as a user types it and as the bot would write it."""

    typed: tuple[int, ...]
    tidied: tuple[int, ...]
    is_learned: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """Ids with their targets: the id itself, or `IGNORED`."""

    ids: list[int]
    targets: list[int]


def encode_turns(
    conversation: Conversation, tokenizer: Tokenizer, is_learned: Callable[[str], bool]
) -> tuple[Turn, ...]:
    """The turns of a conversation in both spellings; hand-written ones stay as they are."""
    spell = str if conversation.origin == "examples" else _spell
    return tuple(
        Turn(_ids(turn, tokenizer), _ids(spell(turn), tokenizer), is_learned(turn))
        for turn in conversation.turns
    )


def _ids(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text).ids)


def _spell(turn: str) -> str:
    return tidy(turn) or turn


def render(turns: Sequence[Turn], bot_parity: int) -> Tokens:
    """One conversation with the bot at the even (0) or odd (1) turns.

    What the user says is learned too; what the bot must not learn to say is context only.
    """
    tokens = Tokens([special_id(BEGIN)], [IGNORED])
    for index, turn in enumerate(turns):
        is_bot = index % 2 == bot_parity
        text = [*(turn.tidied if is_bot else turn.typed), special_id(END)]
        counts = turn.is_learned or not is_bot
        tokens.ids.extend([special_id(BOT if is_bot else USER), *text])
        tokens.targets.extend([IGNORED, *(text if counts else [IGNORED] * len(text))])
    return tokens


def pack(rendered: Iterator[Tokens], row_tokens: int) -> Iterator[Tokens]:
    """Rows of exactly `row_tokens` cut from the conversations laid end to end."""
    ids: list[int] = []
    targets: list[int] = []
    for tokens in rendered:
        ids.extend(tokens.ids)
        targets.extend(tokens.targets)
        while len(ids) >= row_tokens:
            yield Tokens(ids[:row_tokens], targets[:row_tokens])
            del ids[:row_tokens], targets[:row_tokens]


def batches(
    rows: Iterator[Tokens], rows_per_batch: int
) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
    """Ids and targets of whole batches."""
    while len(group := list(islice(rows, rows_per_batch))) == rows_per_batch:
        yield [row.ids for row in group], [row.targets for row in group]
