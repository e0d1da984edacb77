"""How a model runs: batched or not, with compiled kernels or without, how precisely, and why.

Pure: what decides it is in `bot.engine.batching`, and what keeps it in `bot.engine.past_runs`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bot.translations import gettext as _
from config.catalogue import ModelEntry


class Cause(StrEnum):
    """Why a model does not run in the fastest way there is. The values are kept in files."""

    UNKNOWN_ARCHITECTURE = "unknown-architecture"
    GROWING_POSITIONS = "growing-positions"
    BATCH_REFUSED = "batch-refused"
    KERNELS_REFUSED = "kernels-refused"
    LAYERS_UNPACKED = "layers-unpacked"
    STATES_WHOLE = "states-whole"
    NO_KERNELS = "no-kernels"
    NO_CPU = "no-cpu"
    SWITCHED_OFF = "switched-off"


BY_DESIGN = frozenset({Cause.NO_KERNELS, Cause.NO_CPU})
"""Nothing was tried that did not work: there are no kernels for this architecture or device."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A cause, and what it is about: an architecture, or what a check found."""

    cause: Cause
    detail: str = ""

    @property
    def text(self) -> str:
        """The cause as a clause that can follow "because"."""
        return _clauses()[self.cause].format(detail=self.detail)


@dataclass(frozen=True, slots=True)
class RunMode:
    """How a model runs. `precision` is None before it is loaded; `bits` are those of a weight,
    None where they are what the precision says. With `has_byte_states` states have 8 bits too.
    `blocks` are the kinds of a GGUF file's weights that stay as they are in memory, `unpacked`
    those that do not, as a list in words.
    """

    is_batched: bool
    has_kernels: bool
    precision: str | None = None
    bits: int | None = None
    has_byte_states: bool = False
    reasons: tuple[Reason, ...] = ()
    blocks: str = ""
    unpacked: str = ""

    @property
    def fallbacks(self) -> tuple[Reason, ...]:
        """The reasons for which it is slower than this model should be on this machine."""
        return tuple(reason for reason in self.reasons if reason.cause not in BY_DESIGN)

    @property
    def is_checked_worse(self) -> bool:
        """Whether something was tried that should have worked."""
        known_before = (
            Cause.UNKNOWN_ARCHITECTURE,
            Cause.GROWING_POSITIONS,
            Cause.SWITCHED_OFF,
        )
        return any(reason.cause not in known_before for reason in self.fallbacks)

    @property
    def text(self) -> str:
        """A sentence without its subject and its full stop."""
        how = ", ".join(part for part in (self._way, self._numbers) if part)
        return f"{how}, {because(self.reasons)}" if self.reasons else how

    @property
    def short(self) -> str:
        """A few words for a table; ! marks a fallback."""
        if not self.is_batched:
            way = _("one at a time")
        else:
            way = _("batched") if self.has_kernels else _("batched, no kernels")
        marked = f"{way} !" if self.fallbacks else way
        return f"{marked}, {self.precision}" if self.precision else marked

    @property
    def _way(self) -> str:
        if not self.is_batched:
            return _("answers one question at a time")
        if self.has_kernels:
            return _("answers many conversations at once with compiled kernels")
        return _("answers many conversations at once without compiled kernels")

    @property
    def _numbers(self) -> str:
        precision = _("in {precision}").format(precision=self.precision) if self.precision else ""
        if self.bits is None and (self.blocks or self.unpacked):
            return ", ".join(part for part in (precision, *self._stored) if part)
        if self.bits is None:
            return precision
        weights = (
            _("{bits}-bit weights and states") if self.has_byte_states else _("{bits}-bit weights")
        )
        return ", ".join(part for part in (precision, weights.format(bits=self.bits)) if part)

    @property
    def _stored(self) -> tuple[str, ...]:
        """What a GGUF file's weights are in memory."""
        kept = _("weights in {kinds} blocks with 8-bit states").format(kinds=self.blocks)
        unpacked = _("{kinds} weights unpacked").format(kinds=self.unpacked)
        return (kept if self.blocks else "", unpacked if self.unpacked else "")


NoteMode = Callable[[ModelEntry, Path, RunMode], None]
"""Keeps how a model runs whose files are in a folder, or are one file."""

KnownMode = Callable[[ModelEntry, Path], RunMode | None]
"""How it ran under the same circumstances, where it did."""


def because(reasons: tuple[Reason, ...]) -> str:
    """The reasons as the end of a sentence."""
    joined = _(" and ").join(reason.text for reason in reasons)
    return _("because {reasons}").format(reasons=joined)


def _clauses() -> dict[Cause, str]:
    return {
        Cause.UNKNOWN_ARCHITECTURE: _("Fireside does not know how to batch {detail} models"),
        Cause.GROWING_POSITIONS: _("its positions depend on how long a text is"),
        Cause.BATCH_REFUSED: _("its batch failed the check ({detail})"),
        Cause.KERNELS_REFUSED: _("its compiled kernels failed the check ({detail})"),
        Cause.LAYERS_UNPACKED: _("its layers could not be packed for this processor"),
        Cause.STATES_WHOLE: _("this processor does not multiply its weights as bytes"),
        Cause.NO_KERNELS: _("there are no compiled kernels for {detail} models"),
        Cause.NO_CPU: _("compiled kernels are for the CPU only"),
        Cause.SWITCHED_OFF: _("{detail} switches our kernels off"),
    }
