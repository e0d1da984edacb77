"""The models that can be chosen, read from `models.toml`; the owner's stand in `owner_models.py`.

It describes models; it neither loads nor downloads any.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, SecretStr

from config.addresses import WebAddress
from config.errors import UnknownModelName

BUILTIN = "fireside"
"""The name of the embedded model."""

STARTER = "smollm2"
"""The name of the model that set-up fetches: the default one where it is and none was chosen."""

SMALL_MODEL = 1_000_000_000
"""A model of fewer parameters is small: it loses itself at high temperatures, and a persona that is
not its own confuses it more than it helps."""

SHA256 = r"^[0-9a-f]{64}$"

CATALOGUE_FILE = Path(__file__).with_name("models.toml")


class Family(StrEnum):
    """How a model is fed."""

    CHAT = "chat"
    BLENDERBOT = "blenderbot"
    FLAN_T5 = "flan-t5"


class EngineKind(StrEnum):
    """What runs a model: torch on this machine, or a server that speaks OpenAI's protocol."""

    TRANSFORMERS = "transformers"
    OPENAI = "openai"


class Task(StrEnum):
    """What a model can do beside talking; a command asks it for that with an instruction."""

    SUMMARIZE = "summarize"
    TRANSLATE = "translate"
    SENTIMENT = "sentiment"


Growth = Annotated[float, Field(ge=1, le=2)]


class Sampling(BaseModel):
    """Sampling defaults of a model; the names are those of the engine's sampling parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    temperature: float | None = Field(default=None, ge=0, le=5)
    top_k: int | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    min_p: float | None = Field(default=None, ge=0, lt=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=5)
    no_repeat_ngram_size: int | None = Field(default=None, ge=0)
    exponential_decay_length_penalty: tuple[NonNegativeInt, Growth] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    best_of: int | None = Field(default=None, ge=1, le=8)


class WheelSource(BaseModel):
    """A GGUF file inside a wheel on the package index; digests are hexadecimal."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    package: str = Field(pattern=r"^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$")
    version: str = Field(pattern=r"^[A-Za-z0-9][\w.!+-]*$")
    wheel_sha256: str = Field(pattern=SHA256)
    member: str = Field(pattern=r"^(\w[\w.-]*/)*\w[\w.-]*\.gguf$")
    """The file's name in the wheel."""
    member_sha256: str = Field(pattern=SHA256)
    size_bytes: int = Field(gt=0)
    """The size of the file itself."""
    download_bytes: int = Field(default=0, ge=0)
    """The size of the wheel; 0 where it is not known."""


class ModelEntry(BaseModel):
    """One model of the catalogue.

    Exactly one of `repository` (a hub id), `wheel`, `folder`, `builtin` and `endpoints` says where
    it comes from; with `file` only that GGUF file of the repository is the model. `context_tokens`
    is the window that prompt and answer share (for encoder-decoder models: the longest input); with
    `assumes_context` the server's word goes before it. `weight_bytes` is an estimate until the
    model is pulled, and 0 for a remote model: none of it is here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    title: str
    family: Family
    description: str
    licence: str
    languages: tuple[str, ...] = ("en",)
    repository: str | None = None
    revision: str = "main"
    file: str | None = None
    wheel: WheelSource | None = None
    folder: Path | None = None
    builtin: bool = False
    engine: EngineKind = EngineKind.TRANSFORMERS
    endpoints: tuple[WebAddress, ...] = ()
    remote_model: str | None = None
    """What the server calls it; None where it is called as here."""
    api_key: SecretStr | None = None
    place: str | None = None
    """Where a remote model runs, in the owner's words."""
    connect_timeout_s: float = 5
    read_timeout_s: float = 120
    total_timeout_s: float = 600
    context_tokens: int = Field(ge=16)
    assumes_context: bool = False
    has_system_prompt: bool = False
    """Whether it takes a system prompt."""
    follows_persona: bool | None = None
    """Whether it does what the system prompt says; None where its size tells (`SMALL_MODEL`)."""
    weight_bits: Literal[4, 8] | None = None
    """Bits that its weights are reduced to when they are loaded; None leaves them as stored."""
    weight_bytes: int = Field(ge=0)
    parameters: int | None = None
    fits_gb: int | None = None
    """The memory class the entry is meant for: 4, 8 or 12 GB."""
    presets: tuple[str, ...] = ()
    """Names that stand for several models ("lab")."""
    tasks: tuple[Task, ...] = ()
    """What it can do beside talking."""
    stands_in_for: tuple[Task, ...] = ()
    """The tasks that it does where the chosen model cannot."""
    limits: str = ""
    """What it cannot do, in a sentence for members."""
    machine_limits: str = ""
    """What the machine that runs Fireside needs for it; empty where a server runs it."""
    label: str | None = None
    """Shown under each answer ("starter model")."""
    sampling: Sampling = Sampling.model_validate({})

    @property
    def is_remote(self) -> bool:
        """Whether a server runs it, so that what members write leaves Fireside."""
        return self.engine is EngineKind.OPENAI

    @property
    def takes_default_persona(self) -> bool:
        """Whether it is given the persona that holds where nobody set one; others keep what their
        own template says in its place."""
        if self.follows_persona is not None:
            return self.has_system_prompt and self.follows_persona
        return self.has_system_prompt and not is_small(self.parameters)

    @property
    def all_limits(self) -> str:
        """What it cannot do, and what this machine needs for it."""
        return f"{self.limits} {self.machine_limits}".strip()


def is_small(parameters: int | None) -> bool:
    """Whether a model is small; one of unknown size is not."""
    return parameters is not None and parameters < SMALL_MODEL


class Catalogue:
    """All models by name, in their order. `origins` says of each model where its sampling
    parameters and what is said of it came from, as far as that was noted."""

    def __init__(
        self,
        entries: Mapping[str, ModelEntry],
        origins: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.entries = dict(entries)
        self.origins = origins or {}

    @classmethod
    def load(cls) -> "Catalogue":
        """Read the catalogue's file."""
        tables: dict[str, dict[str, Any]] = tomllib.loads(CATALOGUE_FILE.read_text("utf-8"))
        return cls(
            {
                name: ModelEntry.model_validate({"name": name, **table})
                for name, table in tables.items()
            }
        )

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self.entries.values())

    def get(self, name: str) -> ModelEntry:
        """The entry of that name, whatever its case. Raises `UnknownModelName`."""
        entry = self.entries.get(name.strip().lower())
        if entry is None:
            raise UnknownModelName(name, self.near(name))
        return entry

    def near(self, name: str) -> Sequence[str]:
        """Names most like this one, the best first."""
        known = [*self.entries, *self.presets]
        return get_close_matches(name.strip().lower(), known, n=3, cutoff=0.5)

    @property
    def presets(self) -> Mapping[str, Sequence[str]]:
        """Names that stand for several models, such as "lab"."""
        found: dict[str, list[str]] = {}
        for entry in self:
            for preset in entry.presets:
                found.setdefault(preset, []).append(entry.name)
        return found

    def expand(self, name: str) -> Sequence[ModelEntry]:
        """The models of a preset, or the one model of that name. Raises `UnknownModelName`."""
        members = self.presets.get(name.strip().lower())
        return [self.get(member) for member in members or [name]]
