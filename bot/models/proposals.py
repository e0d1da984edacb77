"""Which model to propose on this machine: the best one that fits and answers fast enough.

A token reads every weight once, so the speed follows from how fast memory is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.engine.failures import GIB
from config.catalogue import Catalogue, ModelEntry

FAST_ENOUGH = 8.0
"""Tokens a second: about as fast as most people read."""

SHARE_OF_BANDWIDTH = 0.6
"""How much of what memory gives a decode step gets: 67 % and 74 % were measured with models of 400
and 600 million parameters, 42 % with one of 135 million (docs/performance.md)."""

BYTES_PER_PARAMETER: Mapping[int | None, float] = {None: 2.0, 8: 34 / 32, 4: 20 / 32}
"""By the bits of the weights: bf16, and the blocks that fewer bits are kept in."""

BUDGET_PER_WEIGHTS: Mapping[int | None, float] = {None: 1.3, 8: 2.0, 4: 2.5}
"""The budget that models of the catalogue need for one full window and for loading, to what their
weights take: vocabularies keep more bits, and are there twice where they are the output layer."""

PROPOSALS = 3

ROUNDING = 0.9
"""A machine sold with 8 GB has a little less that can be used."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a model finds here: memory in all, memory for models, and bytes a second read."""

    memory_bytes: int
    budget_bytes: int
    bytes_per_s: float

    def tokens_per_s(self, weight_bytes: int) -> float:
        """The speed to expect of a model whose weights take so much."""
        return SHARE_OF_BANDWIDTH * self.bytes_per_s / max(1, weight_bytes)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A model of the catalogue, and the speed to expect of it."""

    entry: ModelEntry
    tokens_per_s: float


def fits(fits_gb: int, memory_bytes: int) -> bool:
    """Whether a machine with so much memory is of a class: some of it is always taken."""
    return fits_gb <= memory_bytes / GIB / ROUNDING


def proposals(
    catalogue: Catalogue, machine: Machine, speeds: Mapping[str, float]
) -> Sequence[Proposal]:
    """The best model for chats that fits and is fast enough, and two alternatives; those that are
    slower go last, the fastest of them first. Of a model in several sizes of weights one is named.

    `speeds` are tokens a second that models had here, which count more than an estimate.
    """
    fitting = [
        Proposal(entry, speeds.get(entry.name) or machine.tokens_per_s(read_bytes(entry)))
        for entry in catalogue
        if _is_for_chats(entry) and _fits(entry, machine)
    ]
    return _distinct(sorted(fitting, key=_rank))


def _rank(proposal: Proposal) -> tuple[bool, float, float]:
    """Of the fast ones that which knows most goes first; of several sizes of weights the one that
    lost least."""
    if proposal.tokens_per_s < FAST_ENOUGH:
        return True, -proposal.tokens_per_s, 0
    return False, -_parameters(proposal), -read_bytes(proposal.entry)


def read_bytes(entry: ModelEntry) -> int:
    """What the weights of a model of the catalogue take in memory; a token reads all of it."""
    if entry.weight_bits is None or entry.parameters is None:
        return entry.weight_bytes
    return int(entry.parameters * BYTES_PER_PARAMETER[entry.weight_bits])


def _is_for_chats(entry: ModelEntry) -> bool:
    return entry.has_system_prompt and not entry.builtin and not entry.is_remote


def _fits(entry: ModelEntry, machine: Machine) -> bool:
    is_of_class = entry.fits_gb is None or fits(entry.fits_gb, machine.memory_bytes)
    needed = read_bytes(entry) * BUDGET_PER_WEIGHTS[entry.weight_bits]
    return is_of_class and needed <= machine.budget_bytes


def _parameters(proposal: Proposal) -> int:
    entry = proposal.entry
    return entry.parameters or int(entry.weight_bytes / BYTES_PER_PARAMETER[None])


def _distinct(ranked: Iterable[Proposal]) -> Sequence[Proposal]:
    found: dict[object, Proposal] = {}
    for proposal in ranked:
        found.setdefault(proposal.entry.repository or proposal.entry.name, proposal)
    return [*found.values()][:PROPOSALS]
