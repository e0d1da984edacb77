"""The filtered split and the tokenizer on disk, made once so that training starts at once."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from training.conversation import Conversation, Origin
from training.sources import Split, filter_and_split, read_chitchat, read_corpus
from training.tidy import tidy
from training.tokenizer import save_tokenizer, train_tokenizer


def prepare(work: Path) -> None:
    """Read, split, filter, train the tokenizer, and write it all under `work`."""
    split = filter_and_split([*read_chitchat(), *read_corpus()])
    work.mkdir(parents=True, exist_ok=True)
    _write(work / "training.jsonl", split.training)
    _write(work / "held_out.jsonl", split.held_out)
    turns = [turn for item in split.training for turn in item.turns]
    save_tokenizer(train_tokenizer([*turns, *map(tidy, turns)]), work / "tokenizer")


def load_split(work: Path) -> Split:
    """The split that `prepare` wrote."""
    return Split(_read(work / "training.jsonl"), _read(work / "held_out.jsonl"))


def _write(path: Path, conversations: Iterable[Conversation]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for item in conversations:
            file.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")


def _read(path: Path) -> tuple[Conversation, ...]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(_parse(line) for line in lines)


def _parse(line: str) -> Conversation:
    row: dict[str, str | list[str]] = json.loads(line)
    origin: Origin = "chitchat" if row["origin"] == "chitchat" else "corpus"
    return Conversation(str(row["id"]), tuple(row["turns"]), origin)
