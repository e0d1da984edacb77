"""What each phase reads, epoch after epoch: which conversations, in which shape and order."""

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random

from tokenizers import Tokenizer

from training.conversation import Conversation
from training.dialogue import compose
from training.encoding import Tokens, Turn, encode_turns, pack, render
from training.examples import Examples
from training.filters import is_fit_for_bot
from training.plan import Phase

# Of each epoch of the second phase: composed dialogues, and which share of the chats.
EXAMPLE_DIALOGUES = 12_000
CORPUS_REPEATS = 8
CORPUS_GREETINGS = re.compile(
    r"(?:good morning|hi$|hi,|greetings|how (?:are|do) you|nice to meet|it is a pleasure|"
    r"top of the morning|what's up|can i ask|do you (?:eat|drink)|why can you not eat)",
    re.IGNORECASE,
)
CHITCHAT_SHARE = 0.6


def rows(
    phase: Phase, training: Sequence[Conversation], examples: Examples, tokenizer: Tokenizer
) -> Iterator[Tokens]:
    """An endless stream of packed rows, the same for the same seed."""
    make = _talk if phase.name == "talk" else _answers
    return pack(make(phase.seed, training, examples, tokenizer), phase.row_tokens)


def _encode(
    conversations: Sequence[Conversation], tokenizer: Tokenizer, keep: Callable[[str], bool]
) -> list[tuple[Turn, ...]]:
    return [encode_turns(item, tokenizer, keep) for item in conversations]


def _talk(
    seed: int, training: Sequence[Conversation], _examples: Examples, tokenizer: Tokenizer
) -> Iterator[Tokens]:
    encoded = _encode(training, tokenizer, lambda _turn: True)
    random = Random(seed)
    while True:
        for turns in random.sample(encoded, len(encoded)):
            yield render(turns, random.randrange(2))


def _answers(
    seed: int, training: Sequence[Conversation], examples: Examples, tokenizer: Tokenizer
) -> Iterator[Tokens]:
    chats = [item for item in training if item.origin == "chitchat"]
    corpus = [item for item in training if _is_greeting(item)] * CORPUS_REPEATS
    encoded_chats = _encode(chats, tokenizer, is_fit_for_bot)
    encoded_corpus = _encode(corpus, tokenizer, lambda _turn: True)
    random = Random(seed)
    while True:
        chosen = random.sample(encoded_chats, round(len(encoded_chats) * CHITCHAT_SHARE))
        parts = [turns[random.randrange(2) :] for turns in chosen]
        written = [compose(examples, random) for _ in range(EXAMPLE_DIALOGUES)]
        parts += encoded_corpus + _encode(written, tokenizer, lambda _turn: True)
        random.shuffle(parts)
        for turns in parts:
            yield render(turns, 1)


def _is_greeting(conversation: Conversation) -> bool:
    """Whether it is small talk of the corpus; the rest is trivia, or claims to be somebody."""
    question = conversation.turns[0]
    return conversation.origin == "corpus" and CORPUS_GREETINGS.match(question) is not None
