"""A checkpoint in memory, for what measures models without an engine around them. Imports torch."""

from pathlib import Path

import torch

from bench.checkpoints import entry_for
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint


def loaded(name: str, folder: Path, *, exact: bool = False, bits: int | None = None) -> Checkpoint:
    """Load a model's weights on the CPU, with so many bits each."""
    entry = entry_for(name, folder).model_copy(update={"weight_bits": bits})
    blueprint = read_blueprint(entry, folder, torch.device("cpu"), exact=exact)
    return load_checkpoint(blueprint, lambda _share: None)
