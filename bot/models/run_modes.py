"""What can be said of how a model runs: in memory now, when it was last loaded, or as expected."""

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from bot.engine.past_runs import PastRuns
from bot.engine.run_mode import RunMode
from bot.engine.text.families import expected_mode, model_type_in
from bot.translations import gettext as _
from config.catalogue import ModelEntry


class Evidence(Enum):
    """How it is known."""

    LOADED = auto()
    PAST = auto()
    EXPECTED = auto()


@dataclass(frozen=True, slots=True)
class KnownMode:
    """How a model runs, and how that is known."""

    mode: RunMode
    evidence: Evidence

    @property
    def text(self) -> str:
        """A sentence without its subject and its full stop."""
        match self.evidence:
            case Evidence.LOADED:
                return self.mode.text
            case Evidence.PAST:
                return _("{mode} (when it was last loaded)").format(mode=self.mode.text)
            case Evidence.EXPECTED:
                return _("{mode} (expected: it has not been loaded yet)").format(
                    mode=self.mode.text
                )

    @property
    def short(self) -> str:
        """A few words for a table; ~ marks what is only expected."""
        return f"~{self.mode.short}" if self.evidence is Evidence.EXPECTED else self.mode.short


def known_mode(
    entry: ModelEntry, folder: Path | None, past: PastRuns | None, loaded: RunMode | None = None
) -> KnownMode | None:
    """The best that is known of a model whose files are in a folder, if they are here; None where
    its architecture is not known.
    """
    if loaded is not None:
        return KnownMode(loaded, Evidence.LOADED)
    before = past.of(entry, folder) if past is not None and folder is not None else None
    if before is not None:
        return KnownMode(before, Evidence.PAST)
    expected = expected_mode(entry, None if folder is None else model_type_in(folder))
    return None if expected is None else KnownMode(expected, Evidence.EXPECTED)


def run_text(
    entry: ModelEntry, folder: Path | None, past: PastRuns | None, loaded: RunMode | None = None
) -> str:
    """How a model runs, in words, whatever is known of it."""
    if entry.is_remote:
        return _("as many conversations at once as its server takes")
    known = known_mode(entry, folder, past, loaded)
    if known is not None:
        return known.text
    if folder is None:
        return _("known once it is installed")
    return _("not known: its configuration names no architecture that can be read")
