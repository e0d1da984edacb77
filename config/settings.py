"""The core's settings: names, types, defaults, and the words that explain each of them.

How values are found and merged stands in `loading.py`; this module reads nothing.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    create_model,
)
from pydantic.config import JsonDict
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from config.addresses import WebAddress
from config.catalogue import BUILTIN
from config.languages import LANGUAGES, language_code
from config.owner_models import OwnerModel

PREFIX = "FIRESIDE_"
DELIMITER = "__"

PERSONA = (
    "You are Fireside, a friendly assistant in a group chat. Answer briefly and in plain words. "
    "When you do not know something, say so."
)

MAX_MEMORY_GB = 1_000_000
MAX_ANSWER_TIMEOUT_S = 86_400
MAX_RETENTION_DAYS = 36_500
MAX_SHUTDOWN_S = 3_600
"""Upper bounds that nobody needs more than; beyond them, reckoning with times overflows."""

ONLY_IN_FILE: JsonDict = {"only_in_file": True}
"""Marks a field that `fireside.toml` alone can set."""


def _split(value: object) -> object:
    """Lists from the environment: JSON, or words between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("is not a list") from None
    return [word.strip() for word in value.split(",") if word.strip()]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _expand(value: Path) -> Path:
    return value.expanduser()


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list of words: JSON or separated by commas in the environment, a list in TOML."""

FilePath = Annotated[Path, AfterValidator(_expand)]

Channels = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*:\S+$")], ...],
    NoDecode,
    BeforeValidator(_split),
]
Owner = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*:\S+$")]
Owners = Annotated[tuple[Owner, ...], NoDecode, BeforeValidator(_split)]


class HubSettings(BaseModel):
    """Where models are downloaded from, and how. HTTPS_PROXY and NO_PROXY are honoured besides."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint: WebAddress = Field(
        default="https://huggingface.co",
        description="The model hub, or a mirror of it.",
        examples=["https://hub.example.org"],
    )
    token: SecretStr | None = Field(
        default=None,
        description="Access token of the hub, for models that ask for one.",
        examples=["hf_..."],
    )
    offline: bool = Field(
        default=False,
        description="Download no models, neither from the hub nor from the package index.",
        examples=[True],
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="Certificates (PEM) to trust instead of the system's.",
        examples=["/etc/ssl/company.pem"],
    )


class RootSettings(BaseSettings):
    """The core's settings. `compose` adds a section for each adapter, under its platform's name.

    Every source of values is read by `config.loading.load`: constructing this reads none.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    data_dir: FilePath = Field(
        default_factory=lambda: user_data_path("fireside", appauthor=False),
        description="Where the database lives. By default the platform's data directory.",
        examples=["/var/lib/fireside"],
    )
    models_dir: FilePath = Field(
        default_factory=lambda data: cast("Path", data["data_dir"]) / "models",
        description="Where pulled models live. By default `models` in the data directory.",
        examples=["/srv/models"],
    )
    model: str = Field(
        default=BUILTIN,
        description="The model that answers where nobody chose another. By default `smollm2` once "
        "it was pulled, else the embedded one.",
        examples=["smollm2-360m"],
    )
    pinned_models: Words = Field(
        default=(),
        description="Models that stay in memory once they are loaded; others go after 15 minutes.",
        examples=[["smollm2-360m"]],
    )
    persona: str = Field(
        default=PERSONA,
        max_length=8000,
        description="The system prompt: who the bot is and how it answers. What you set is given "
        "to every model that takes one, the default only to those that follow it.",
        examples=["You are a patient librarian."],
    )
    language: Annotated[str, AfterValidator(language_code)] = Field(
        default="en",
        description="The language that `/translate` translates into where nobody named or set one: "
        f"{', '.join(LANGUAGES)}. What the bot itself says is in English.",
        examples=["de"],
    )
    owners: Owners = Field(
        default=(),
        description="Who may change what holds for everyone, as platform:user id.",
        examples=[["discord:123456789", "slack:U0123"]],
    )
    platforms: Words = Field(
        default=(),
        description="What `fireside run` serves. By default the platforms whose token is set.",
        examples=[["discord", "slack"]],
    )
    memory_budget_gb: float | None = Field(
        default=None,
        gt=0,
        le=MAX_MEMORY_GB,
        description="Memory for models and their caches. By default half of what is free.",
        examples=[6],
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="The longest answer, in tokens. By default each model's own limit.",
        examples=[400],
    )
    answer_timeout_s: float = Field(
        default=300,
        gt=0,
        le=MAX_ANSWER_TIMEOUT_S,
        description="The longest time for one answer, in seconds.",
        examples=[120],
    )
    max_waiting: int = Field(
        default=200,
        ge=1,
        description="How many questions may wait; further ones are told that the bot is busy.",
        examples=[50],
    )
    max_rows: int = Field(
        default=8, ge=1, le=256, description="How many answers are generated at once.", examples=[4]
    )
    blocked_words: Words = Field(
        default=(),
        description="Words that no answer may hold, whatever their case; a `*` at the end of one "
        "stands for any ending.",
        examples=[["darn", "heck*"]],
    )
    blocked_action: Annotated[Literal["hold", "mask"], BeforeValidator(_lower)] = Field(
        default="hold",
        description="What becomes of an answer with a blocked word: held back, or the word masked.",
        examples=["mask"],
    )
    report_channels: Channels = Field(
        default=(),
        description="Where reported answers go, for each platform as platform:channel id.",
        examples=[["discord:1122334455667788990"]],
    )
    retention_days: float = Field(
        default=30,
        gt=0,
        le=MAX_RETENTION_DAYS,
        description="How long messages are kept, in days.",
        examples=[7],
    )
    removal_grace_days: float = Field(
        default=7,
        ge=0,
        le=MAX_RETENTION_DAYS,
        description="How long what was said is kept after the bot was removed, in days.",
        examples=[1],
    )
    shutdown_s: float = Field(
        default=20,
        ge=0,
        le=MAX_SHUTDOWN_S,
        description="How long running answers may take to end when the bot stops, in seconds.",
        examples=[60],
    )
    exact: bool = Field(
        default=False,
        description="Compute in 32 bits whatever the model's format: slower, and reproducible.",
        examples=[True],
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = (
        Field(default="INFO", description="The least level that is logged.", examples=["WARNING"])
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default="text",
        description="Log lines for people, or one JSON object a line.",
        examples=["json"],
    )
    hub: HubSettings = Field(default_factory=HubSettings)
    models: dict[str, OwnerModel] = Field(
        default_factory=dict,
        description="Models of your own, a table `[models.NAME]` each.",
        examples=[{"notes": {"folder": "/srv/models/notes"}}],
        json_schema_extra=ONLY_IN_FILE,
    )

    @property
    def chosen_persona(self) -> str | None:
        """The persona that the owner set; None where nobody did."""
        return self.persona if "persona" in self.model_fields_set else None

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values come from `load`, which keeps where each was found."""
        return (init_settings,)


def compose(adapter_settings: Mapping[str, type[BaseModel]]) -> type[RootSettings]:
    """The root settings model: the core's fields and a section for each adapter.

    Every field of an adapter's settings needs a default: a platform may be left alone.
    """
    sections: dict[str, Any] = {
        platform: (section, Field(default_factory=section))
        for platform, section in adapter_settings.items()
    }
    return create_model("FiresideSettings", __base__=RootSettings, **sections)
