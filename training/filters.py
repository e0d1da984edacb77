"""Which turns may be learned: no profanity, no personal data, no talk about the collection.

A turn that fails is dropped and the conversation is cut there into two pieces, so that one
bad turn does not cost the rest. The word lists are in `training/words/`, one entry a line.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from training.conversation import Conversation

WORDS = Path(__file__).parent / "words"
MAX_TURN_CHARACTERS = 280

PERSONAL_PATTERNS = (
    r"https?:|www\.|\b\w+\.(?:com|org|net|edu|io|gov)\b",
    r"\S+@\S+|(?<!\w)@\w+",
    r"\d{5,}|\d{3}[-. ]\d{3,4}",
    r"\b\d{1,5} (?:[nsew]\.? )?\w+ (?:st|street|ave|avenue|road|rd|drive|lane|blvd)\b",
    r"\bmy (?:real |full |last |first )?name'?s? ",
    r"\b(?:call me|names?) is\b|\bsnap ?chat\b|\binstagram\b|\bphone number\b|\bfacebook\b",
    r"\bapt\b|\bapartment number\b",
)
INTRODUCTION = re.compile(
    r"\b(?:[Mm]y name(?:'?s| is)|[Cc]all me|[Tt]his is|I'?m|[Nn]ice to meet you,?|[Hh]ey|[Hh]i|"
    r"[Bb]ye,?|[Tt]hanks,?) ([A-Z][a-z]{2,})\b"
)


def read_words(name: str) -> tuple[str, ...]:
    """The entries of one word list; lines that start with # are remarks."""
    lines = (WORDS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


@cache
def word_pattern(name: str) -> re.Pattern[str]:
    """A pattern that finds any whole entry of a word list; entries are regular expressions."""
    return re.compile(r"\b(?:" + "|".join(read_words(name)) + r")\b", re.IGNORECASE)


@cache
def _personal_pattern() -> re.Pattern[str]:
    return re.compile("|".join(PERSONAL_PATTERNS), re.IGNORECASE)


def has_profanity(turn: str) -> bool:
    """Whether the turn swears or is crude."""
    return word_pattern("profanity").search(turn) is not None


def has_personal_data(turn: str, names: frozenset[str] = frozenset()) -> bool:
    """Whether the turn holds an address, a number, a handle, a school or a person's name."""
    if _personal_pattern().search(turn) or word_pattern("places").search(turn):
        return True
    return any(word in names for word in re.findall(r"[a-z]+", turn.lower()))


def has_unfit_topic(turn: str) -> bool:
    """Whether the turn is about a subject that a small model should not talk about."""
    return word_pattern("topics").search(turn) is not None


def find_names(turns: Iterable[str]) -> frozenset[str]:
    """First names: the list's, and those by which speakers call themselves or each other.

    A word counts as a name when it follows an introduction twice and is hardly ever written
    in lower case, which words such as "Good" or "Sorry" are.
    """
    introduced: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    for turn in turns:
        introduced.update(INTRODUCTION.findall(turn))
        lower.update(re.findall(r"\b[a-z]{3,}\b", turn))
    found = {name.lower() for name, count in introduced.items() if count >= 2}
    rare = {name for name in found if lower[name] < 3}
    return frozenset(read_words("names")) | rare


def is_fit(turn: str, names: frozenset[str]) -> bool:
    """Whether a turn may be learned."""
    text = turn.strip()
    if not re.search(r"\w", text) or len(text) > MAX_TURN_CHARACTERS:
        return False
    return not (has_profanity(text) or has_personal_data(text, names) or has_unfit_topic(text))


def cut_at_unfit(conversation: Conversation, names: frozenset[str]) -> Iterator[Conversation]:
    """The pieces of a conversation between its unfit turns, each of two turns or more."""
    piece: list[str] = []
    pieces = [piece]
    for turn in conversation.turns:
        if is_fit(turn, names):
            piece.append(turn)
        else:
            piece = []
            pieces.append(piece)
    for index, turns in enumerate(part for part in pieces if len(part) >= 2):
        yield Conversation(f"{conversation.id}/{index}", tuple(turns), conversation.origin)


def is_fit_for_bot(turn: str) -> bool:
    """Whether the bot may say it: a turn that tells of a human life is context only."""
    return word_pattern("human_life").search(turn) is None
