"""A checkpoint in memory, for what measures models without an engine around them. Imports torch."""

import argparse
from pathlib import Path

import torch

from bench.checkpoints import entry_for
from bench.ways.arguments import ADVICE, FALLBACK
from bot.engine.batching.batch import Batch, tried_out
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint


def loaded(name: str, folder: Path, *, exact: bool = False, bits: int | None = None) -> Checkpoint:
    """Load a model's weights on the CPU, with so many bits each."""
    entry = entry_for(name, folder).model_copy(update={"weight_bits": bits})
    blueprint = read_blueprint(entry, folder, torch.device("cpu"), exact=exact)
    return load_checkpoint(blueprint, lambda _share: None)


def parser_of(program: str, description: str | None) -> argparse.ArgumentParser:
    """What every such program is given: a model, where its weights are kept, and whether a fallback
    may be measured.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench.{program}", description=description)
    parser.add_argument("model")
    parser.add_argument("folder", nargs="?", help="keep random weights in this folder")
    parser.add_argument(
        "--allow-fallback",
        action="store_true",
        help="measure the model although it runs slower than it should, and say so",
    )
    return parser


def measured_batch(checkpoint: Checkpoint, *, allow_fallback: bool) -> Batch:
    """The batch that the engine gives a model. A fallback is not measured as the engine: this ends
    the program with the reason, or says it where it is allowed.
    """
    batch, mode = tried_out(checkpoint)
    if not mode.fallbacks:
        return batch
    told = f"{checkpoint.blueprint.entry.name} {mode.text}."
    if not allow_fallback:
        raise SystemExit(f"{told} {ADVICE}.")
    print(FALLBACK + told, flush=True)
    return batch
