"""The defaults of a model where its owner and the catalogue leave something open.

What they do not state comes from the checkpoint's own files, and how to sample, where those do not
say it either, from the model's size. Each value is known with its origin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.catalogue import ModelEntry, Sampling, is_small
from config.checkpoint_facts import CheckpointFacts, read_facts

BY_OWNER = "fireside.toml"
IN_CATALOGUE = "catalogue"
BY_SIZE = "default for its size"

SMALL_SAMPLING = Sampling(temperature=0.2, top_p=0.9)
"""The safe default of a small model: at higher temperatures it soon talks nonsense."""

LARGER_SAMPLING = Sampling(temperature=0.7, top_p=0.9)

DESCRIPTIVE = ("title", "licence", "languages", "context_tokens", "parameters")
"""The fields, beside the sampling, that a checkpoint's files may fill."""


@dataclass(frozen=True, slots=True)
class Completed:
    """An entry without open places. `origins` says where its sampling parameters and its
    descriptive fields came from, for each that came from anywhere."""

    entry: ModelEntry
    origins: Mapping[str, str]


def completed(entry: ModelEntry, stated: Mapping[str, str], facts: CheckpointFacts) -> Completed:
    """Fill what is open: `stated` are the origins of what is not."""
    found = {name: getattr(facts, name) for name in DESCRIPTIVE}
    if facts.context_tokens is not None:
        found["context_tokens"] = min(facts.context_tokens, entry.context_tokens)
    filled = {name: value for name, value in found.items() if value and name not in stated}
    entry = entry.model_copy(update=filled)
    sampling = entry.sampling.model_dump(exclude_none=True)
    origins = {**dict.fromkeys(filled, facts.source), **stated}
    for origin, layer in ((facts.source, facts.sampling), (BY_SIZE, sampling_for_size(entry))):
        for name, value in layer.model_dump(exclude_none=True).items():
            if name not in sampling:
                sampling[name], origins[name] = value, origin
    return Completed(entry.model_copy(update={"sampling": Sampling(**sampling)}), origins)


def sampling_for_size(entry: ModelEntry) -> Sampling:
    """How a model samples where nothing says it.

    A server is told as little as possible: some refuse a temperature beside a top-p.
    """
    if entry.is_remote:
        return Sampling(temperature=0.2 if is_small(entry.parameters) else 0.7)
    return SMALL_SAMPLING if is_small(entry.parameters) else LARGER_SAMPLING


def facts_of(entry: ModelEntry, models_dir: Path) -> CheckpointFacts:
    """What the files of a model say, where it has files that are here."""
    if entry.builtin or entry.is_remote:
        return CheckpointFacts()
    return read_facts(entry.folder or models_dir / entry.name)
