"""How well held-out text is predicted: bits per character, of the model and of a trigram.

Both predict the same tokens of the same text: every turn's tokens and its end mark, each with
all that came before it. Characters are those of the turns.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from training.conversation import Conversation
from training.encoding import IGNORED, Tokens, encode_turns, render
from training.ngram import KneserNey
from training.tokenizer import CONTEXT, VOCABULARY


@dataclass(frozen=True, slots=True)
class HeldOutText:
    """Conversations as tokens, cut to the context, and the characters that were predicted."""

    conversations: tuple[Tokens, ...]
    characters: int
    predicted: int


def held_out_text(conversations: Sequence[Conversation], tokenizer: Tokenizer) -> HeldOutText:
    """Both sides of each conversation, the odd turns spelled as the bot's."""
    kept = [item for item in conversations if item.origin != "examples"]
    rendered = [_render(item, tokenizer) for item in kept]
    whole = [
        (tokens, item)
        for tokens, item in zip(rendered, kept, strict=True)
        if len(tokens.ids) <= CONTEXT
    ]
    predicted = sum(_count_predicted(tokens) for tokens, _ in whole)
    characters = sum(_count_characters(tokens, tokenizer) for tokens, _ in whole)
    return HeldOutText(tuple(tokens for tokens, _ in whole), characters, predicted)


def _render(conversation: Conversation, tokenizer: Tokenizer) -> Tokens:
    turns = encode_turns(conversation, tokenizer, lambda _turn: True)
    return render(turns, 1)


def _count_predicted(tokens: Tokens) -> int:
    return sum(target != IGNORED for target in tokens.targets)


def _count_characters(tokens: Tokens, tokenizer: Tokenizer) -> int:
    return len(tokenizer.decode(tokens.ids, skip_special_tokens=True))


@torch.inference_mode()
def model_bits(model: LlamaForCausalLM, text: HeldOutText) -> float:
    """Bits per character under the model."""
    nats = 0.0
    for tokens in text.conversations:
        logits = model(input_ids=torch.tensor([tokens.ids[:-1]]), use_cache=False).logits
        targets = torch.tensor(tokens.targets[1:])
        loss = functional.cross_entropy(
            logits[0].float(), targets, ignore_index=IGNORED, reduction="sum"
        )
        nats += loss.item()
    return nats / math.log(2) / text.characters


def trigram_bits(training: Iterable[Tokens], text: HeldOutText) -> float:
    """Bits per character under a Kneser-Ney trigram of the training text."""
    trigram = KneserNey((tokens.ids for tokens in training), VOCABULARY)
    bits = 0.0
    for tokens in text.conversations:
        for index, target in enumerate(tokens.targets):
            if target != IGNORED:
                bits -= math.log2(trigram.probability(tokens.ids[:index], target))
    return bits / text.characters


def training_text(conversations: Sequence[Conversation], tokenizer: Tokenizer) -> list[Tokens]:
    """The training split as the model saw it: each conversation with the bot on either side."""
    encoded = [encode_turns(item, tokenizer, lambda _turn: True) for item in conversations]
    return [render(turns, parity) for turns in encoded for parity in (0, 1)]
