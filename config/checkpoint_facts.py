"""What a checkpoint's own files say of it: how to sample, its name, licence, languages and size.

Read without torch and transformers, and cheaply: every start does it for each model that is here.
These files come from strangers. What is wrong in them is left out, and never a reason to fail: that
a model cannot be loaded is said where it is loaded.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from config.catalogue import Sampling
from config.gguf_header import BadHeader, GgufHeader, read_gguf_header

GENERATION_CONFIG = "generation_config.json"
CONFIG = "config.json"
LANGUAGES = "general.languages"

MAX_CHARS = 80
MAX_LANGUAGES = 100

PREFIX = "general.sampling."
GGUF_SAMPLING: Mapping[str, str] = {
    "temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}  # fmt: skip
"""What llama.cpp calls the sampling parameters, behind the prefix."""

SAMPLING_NAMES = (
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram_size",
    "exponential_decay_length_penalty",
)  # fmt: skip
"""What is taken of transformers' generation settings; the length of answers is ours to choose."""

MAX_BYTES = 8 << 20
"""A larger configuration is none."""


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What is known, None or empty where the files do not say it.

    `context_tokens` is the longest text that the model knows positions for, `source` the name of
    the file that says how to sample.
    """

    source: str = ""
    sampling: Sampling = field(default_factory=lambda: Sampling.model_validate({}))
    title: str | None = None
    licence: str | None = None
    languages: tuple[str, ...] = ()
    context_tokens: int | None = None
    parameters: int | None = None


def read_facts(folder: Path) -> CheckpointFacts:
    """What the files of a folder, or a GGUF file, say; nothing where there is no checkpoint."""
    if (folder / CONFIG).is_file():
        return _of_json(folder)
    files = [folder] if folder.is_file() else list(folder.glob("*.gguf"))
    if len(files) != 1:
        return CheckpointFacts()
    try:
        # Other programs keep such files under a checksum instead of a name.
        name = files[0].name if files[0].suffix == ".gguf" else "its GGUF file"
        return _of_gguf(name, read_gguf_header(files[0], (LANGUAGES,)))
    except (BadHeader, OSError):
        return CheckpointFacts()


def _of_json(folder: Path) -> CheckpointFacts:
    config, generation = _table(folder / CONFIG), _table(folder / GENERATION_CONFIG)
    stated = {name: generation.get(name) for name in SAMPLING_NAMES}
    if generation.get("do_sample") is False:
        stated["temperature"] = 0
    return CheckpointFacts(
        source=GENERATION_CONFIG,
        sampling=_sampling(stated),
        context_tokens=_whole(config.get("max_position_embeddings")),
        parameters=_parameters(folder, config),
    )


def _of_gguf(name: str, header: GgufHeader) -> CheckpointFacts:
    values = header.values
    stated = {ours: _short(values.get(f"{PREFIX}{name}")) for name, ours in GGUF_SAMPLING.items()}
    languages = (_line(one) for one in header.arrays.get(LANGUAGES, ())[:MAX_LANGUAGES])
    licence = _line(values.get("general.license"))
    return CheckpointFacts(
        source=name,
        sampling=_sampling(stated),
        title=_line(values.get("general.name")),
        # Licences that have no short name are called "other".
        licence=_line(values.get("general.license.name"))
        if licence in (None, "other")
        else licence,
        languages=tuple(one for one in languages if one is not None),
        context_tokens=_whole(values.get(f"{values.get('general.architecture')}.context_length")),
        parameters=header.parameters or None,
    )


def _short(value: object) -> object:
    """A number of 32 bits as it was meant: 0.55, not 0.550000011920929."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _sampling(stated: Mapping[str, object]) -> Sampling:
    """What of it makes sense, each for itself."""
    return Sampling.model_validate(
        {name: value for name, value in stated.items() if _is_sensible(name, value)}
    )


def _is_sensible(name: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    try:
        Sampling.model_validate({name: value})
    except ValidationError:
        return False
    return True


def _parameters(folder: Path, config: Mapping[str, object]) -> int | None:
    """From the size of the weights: near enough to tell a small model from a large one."""
    files = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    item_bytes = 4 if config.get("dtype", config.get("torch_dtype")) == "float32" else 2
    return sum(file.stat().st_size for file in files) // item_bytes or None


def _line(value: object) -> str | None:
    """A short text on one line."""
    if not isinstance(value, str):
        return None
    printable = "".join(one if one.isprintable() else " " for one in value[: 4 * MAX_CHARS])
    return " ".join(printable.split())[:MAX_CHARS].strip() or None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if value > 0 else None


def _table(file: Path) -> Mapping[str, object]:
    try:
        if file.stat().st_size > MAX_BYTES:
            return {}
        content: object = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", content) if isinstance(content, dict) else {}
