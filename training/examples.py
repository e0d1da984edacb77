"""The hand-written examples: parsed, expanded into many phrasings, composed into dialogues.

The files in `training/examples_text/` hold groups. A group starts with `= name kind`, perhaps
with a weight, which says how often it comes compared with others; then

    > a question        several lines: several phrasings
    < an answer         several lines: several answers to any of the questions
    >> a follow-up      asked after one of the answers; `<<` lines answer it

`[a|b|]` stands for a, b or nothing. `{food}` stands for an entry of the list `@food a | b`;
entries may have fields, as in `@capital France : Paris`, and `{capital:2}` is the second
field of the entry that `{capital}` chose. Kinds say where a group may stand: *open* first,
*chat* anywhere, *follow* after any answer, *close* last.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal, cast, get_args

from training.split import is_held_out

FOLDER = Path(__file__).parent / "examples_text"
Kind = Literal["open", "chat", "follow", "close"]
Slots = dict[str, list[tuple[str, ...]]]
Chosen = dict[str, tuple[str, ...]]
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)(?::(\d))?\}")


@dataclass(slots=True)
class Exchange:
    """Phrasings of one question and the answers that fit all of them."""

    questions: list[str] = field(default_factory=list[str])
    answers: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Group:
    """An exchange on one subject, with the follow-ups that make sense after it."""

    name: str
    kind: Kind
    weight: int = 1
    exchange: Exchange = field(default_factory=Exchange)
    follow_ups: list[Exchange] = field(default_factory=list[Exchange])


@dataclass(frozen=True, slots=True)
class Examples:
    """All groups and the lists that fill their slots."""

    groups: tuple[Group, ...]
    slots: Slots

    def of_kind(self, *kinds: Kind) -> list[Group]:
        """The groups of some kinds, each as often as its weight says."""
        chosen = [group for group in self.groups if group.kind in kinds]
        return [group for group in chosen for _ in range(group.weight)]


def load_examples(folder: Path = FOLDER) -> Examples:
    """Every group of every file."""
    groups: list[Group] = []
    slots: Slots = {}
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            _read_line(line.strip(), groups, slots)
    return Examples(tuple(groups), slots)


def _read_line(line: str, groups: list[Group], slots: Slots) -> None:
    mark, _, text = line.partition(" ")
    match mark:
        case "=":
            groups.append(_open_group(text))
        case ">":
            groups[-1].exchange.questions.append(text)
        case "<":
            groups[-1].exchange.answers.append(text)
        case ">>":
            _follow_up(groups[-1]).questions.append(text)
        case "<<":
            groups[-1].follow_ups[-1].answers.append(text)
        case _ if mark.startswith("@"):
            slots[mark[1:]] = [_fields(entry) for entry in text.split("|")]
        case _ if line and mark != "#":
            raise ValueError(f"unknown line: {line}")
        case _:
            pass


def _open_group(header: str) -> Group:
    """A group without lines; its header is a name, a kind and perhaps a weight."""
    name, kind, *weight = header.split()
    if kind not in get_args(Kind):
        raise ValueError(f"unknown kind in group {header}")
    return Group(name, cast("Kind", kind), int(weight[0]) if weight else 1)


def _follow_up(group: Group) -> Exchange:
    """The follow-up that takes the next question: a new one once the last has answers."""
    if not group.follow_ups or group.follow_ups[-1].answers:
        group.follow_ups.append(Exchange())
    return group.follow_ups[-1]


def _fields(entry: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in entry.split(" : "))


def expand(pattern: str, random: Random) -> str:
    """One choice for every bracket of a pattern."""
    while match := _CHOICE.search(pattern):
        choice = random.choice(match.group(1).split("|"))
        pattern = pattern[: match.start()] + choice + pattern[match.end() :]
    return re.sub(r" (?=[?,.!])", "", " ".join(pattern.split()))


def choose_slots(slots: Slots, random: Random) -> Chosen:
    """One entry of every list."""
    return {name: random.choice(entries) for name, entries in slots.items()}


def fill(text: str, chosen: Chosen) -> str:
    """The text with its slots filled and a capital at the start of a filled one."""
    filled = _SLOT.sub(lambda match: chosen[match.group(1)][int(match.group(2) or 1) - 1], text)
    return filled[:1].upper() + filled[1:] if text.startswith("{") else filled


def is_probe(group: str, question: str) -> bool:
    """Whether a phrasing is held out, to ask whether the model understands ones it never saw."""
    letters = re.sub(r"[^a-z0-9]", "", question.lower())
    return is_held_out(f"example:{group}:{letters}")
