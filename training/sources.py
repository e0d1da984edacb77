"""The two open data sets, read into conversations and split by conversation.

`chitchat-dataset` (MIT) holds chats between people; `chatterbot-corpus` (BSD) holds short
questions and answers for bots. Both are dependencies of training only. The corpus's files
on politics, gossip, insults, code and tech support are not used.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TypedDict, cast

import yaml

from training.conversation import Conversation
from training.filters import cut_at_unfit, find_names
from training.split import is_held_out
from training.tidy import join_messages

CORPUS_FILES = ("conversations", "greetings", "food", "humor", "science", "trivia", "computers")


class _Message(TypedDict):
    text: str


class _Chat(TypedDict):
    messages: list[list[_Message]]


class _Topic(TypedDict):
    conversations: list[object]


@dataclass(frozen=True, slots=True)
class Split:
    """Filtered conversations to learn from, and those held out."""

    training: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]


def read_chitchat() -> Iterator[Conversation]:
    """Every chat between two people, its messages joined into turns."""
    text = (files("chitchat_dataset") / "dataset.json").read_text(encoding="utf-8")
    chats: dict[str, _Chat] = json.loads(text)
    for chat_id, chat in chats.items():
        turns = (join_messages([part["text"] for part in turn]) for turn in chat["messages"])
        yield Conversation(chat_id, tuple(turns), "chitchat")


def read_corpus() -> Iterator[Conversation]:
    """Questions with each of their answers; the question is the id, so that it is split once."""
    folder = files("chatterbot_corpus") / "data" / "english"
    for name in CORPUS_FILES:
        topic: _Topic = yaml.safe_load((folder / f"{name}.yml").read_text(encoding="utf-8"))
        for entry in topic["conversations"]:
            if isinstance(entry, list):
                question, *answers = (
                    " ".join(str(turn).split()) for turn in cast("list[object]", entry)
                )
                yield from _pair(name, question, answers)


def _pair(topic: str, question: str, answers: list[str]) -> Iterator[Conversation]:
    conversation_id = f"corpus:{question.lower()}"
    if topic == "conversations":
        yield Conversation(conversation_id, (question, *answers), "corpus")
        return
    for answer in answers:
        yield Conversation(conversation_id, (question, answer), "corpus")


def filter_and_split(conversations: Iterable[Conversation]) -> Split:
    """The split, by conversation, then filtered; names are found in the training part."""
    everything = list(conversations)
    training = [item for item in everything if not is_held_out(item.id)]
    held_out = [item for item in everything if is_held_out(item.id)]
    names = find_names(turn for item in training for turn in item.turns)
    return Split(
        tuple(piece for item in training for piece in cut_at_unfit(item, names)),
        tuple(piece for item in held_out for piece in cut_at_unfit(item, names)),
    )
