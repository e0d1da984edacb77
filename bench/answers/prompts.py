"""The forty chats that models are judged by."""

import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

PROMPTS_FILE = Path(__file__).parent / "prompts.toml"


class Part(StrEnum):
    """Sampling defaults are chosen by the tuning part; the held-out part says if they hold."""

    TUNING = "tuning"
    HELD_OUT = "held out"


class Chat(BaseModel):
    """What a person writes, turn by turn; with a `persona` somebody has set it before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: str
    part: Part
    turns: tuple[str, ...]
    persona: str | None = None


def read_prompts() -> tuple[Chat, ...]:
    """All chats, in the file's order."""
    tables = tomllib.loads(PROMPTS_FILE.read_text("utf-8"))["prompt"]
    return tuple(Chat.model_validate(table) for table in tables)
