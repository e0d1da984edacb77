"""The models that can be chosen, read from `models.toml` and the owner's configuration.

It describes models; it neither loads nor downloads any.
"""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

BUILTIN = "fireside"
"""The name of the embedded model."""


class Family(StrEnum):
    """How a model is fed."""

    CHAT = "chat"
    BLENDERBOT = "blenderbot"
    FLAN_T5 = "flan-t5"


class Sampling(BaseModel):
    """Sampling defaults of a model; the names are those of the engine's sampling parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(None, ge=0, le=5)
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, lt=1)
    repetition_penalty: float | None = Field(None, gt=0, le=5)
    no_repeat_ngram_size: int | None = Field(None, ge=0)
    max_tokens: int | None = Field(None, ge=1)
    best_of: int | None = Field(None, ge=1, le=8)


class ModelEntry(BaseModel):
    """One model of the catalogue.

    Exactly one of `repository` (a hub id), `folder` and `builtin` says where its files come from.
    `context_tokens` is the window that prompt and answer share (for encoder-decoder models: the
    longest input). `weight_bytes` is an estimate until the model is pulled.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    family: Family
    description: str
    licence: str
    languages: tuple[str, ...] = ("en",)
    repository: str | None = None
    revision: str = "main"
    folder: Path | None = None
    builtin: bool = False
    context_tokens: int = Field(ge=16)
    has_system_prompt: bool = False
    weight_bytes: int = Field(gt=0)
    parameters: int | None = None
    fits_gb: int | None = None
    """The memory class the entry is meant for: 4, 8 or 12 GB."""
    presets: tuple[str, ...] = ()
    """Names that stand for several models ("lab")."""
    limits: str = ""
    """What it cannot do, in a sentence for members."""
    label: str | None = None
    """Shown under each answer ("starter model")."""
    sampling: Sampling = Sampling()
