"""Raw answers as they are kept: one file a model, with a sentence of judgement beside each chat."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from bench.answers.asking import Answered
from bench.answers.prompts import Chat

FOLDER = Path(__file__).parent


class Record(BaseModel):
    """What a model answered in one chat. `judgement` is "" until somebody has read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    answers: tuple[Answered, ...]
    judgement: str = ""


_RECORDS = TypeAdapter(tuple[Record, ...])


def kept_file(model: str) -> Path:
    """Where a model's answers are kept."""
    return FOLDER / f"{model}.json"


def kept(model: str) -> tuple[Record, ...]:
    """A model's answers as they were kept last; none if they never were."""
    file = kept_file(model)
    return _RECORDS.validate_json(file.read_bytes()) if file.is_file() else ()


def keep(model: str, chats: Sequence[Chat], played: Sequence[Sequence[Answered]]) -> None:
    """Replace a model's answers; a judgement stays where the answers are still the same."""
    before = {record.id: record for record in kept(model)}
    records: list[Record] = []
    for chat, answers in zip(chats, played, strict=True):
        record = Record(id=chat.id, answers=tuple(answers))
        earlier = before.get(chat.id)
        is_same = earlier is not None and earlier.answers == record.answers
        records.append(earlier if earlier is not None and is_same else record)
    write(model, records)


def write(model: str, records: Sequence[Record]) -> None:
    """Replace all that is kept of a model."""
    kept_file(model).write_bytes(_RECORDS.dump_json(tuple(records), indent=1) + b"\n")
