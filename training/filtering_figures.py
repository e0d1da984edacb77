"""What the filters took out of the text, counted for the model card."""

from collections import Counter
from collections.abc import Iterable

from training.conversation import Conversation
from training.filters import (
    find_names,
    has_personal_data,
    has_profanity,
    has_unfit_topic,
    is_fit,
    is_fit_for_bot,
)
from training.sources import Split, read_chitchat, read_corpus
from training.split import is_held_out


def filtering(split: Split) -> dict[str, object]:
    """Turns read and dropped, with the reasons (a turn may have several), and what remained."""
    everything = [*read_chitchat(), *read_corpus()]
    training = (item for item in everything if not is_held_out(item.id))
    names = find_names(turn for item in training for turn in item.turns)
    turns = [turn for item in everything for turn in item.turns]
    chats = [turn for item in split.training if item.origin == "chitchat" for turn in item.turns]
    context_only = sum(not is_fit_for_bot(turn) for turn in chats)
    return {
        "turns": len(turns),
        "dropped": sum(not is_fit(turn, names) for turn in turns),
        "dropped_for": dict(_reasons(turns, names)),
        "context_only_share_of_chat_turns": round(context_only / len(chats), 3),
        "training_characters": _characters(split.training),
        "held_out_characters": _characters(split.held_out),
    }


def _reasons(turns: Iterable[str], names: frozenset[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for turn in turns:
        text = turn.strip()
        found["profanity"] += has_profanity(text)
        found["personal_data"] += has_personal_data(text, names)
        found["topic"] += has_unfit_topic(text)
    return found


def _characters(conversations: Iterable[Conversation]) -> int:
    return sum(item.characters for item in conversations)
