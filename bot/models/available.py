"""The models as the core sees them: which may be chosen, which are here, which are in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from bot.engine.base import Engine
from bot.engine.past_runs import PastRuns
from bot.errors import ModelNotInstalled, UnknownModel
from bot.models.run_modes import run_text
from bot.translations import gettext as _
from config.addresses import host_of, is_loopback
from config.catalogue import Family, ModelEntry


def place_of(entry: ModelEntry) -> str | None:
    """Where a remote model runs, for members; None for a model that Fireside runs itself."""
    if not entry.is_remote:
        return None
    if entry.place is not None:
        return entry.place
    if is_on_this_machine(entry):
        return _("this machine, in another program")
    return ", ".join(dict.fromkeys(host_of(url) for url in entry.endpoints))


def is_on_this_machine(entry: ModelEntry) -> bool:
    """Whether what members write stays on this machine."""
    return all(is_loopback(url) for url in entry.endpoints)


def can_go_on(entry: ModelEntry) -> bool:
    """Whether a model can go on with an answer of its own: Blenderbot would reply to it."""
    return entry.family is not Family.BLENDERBOT


class Models:
    """The catalogue's entries, where their files are, and the engine that loads them.

    `locate` gives the folder of a model's files or raises `ModelNotInstalled`; `past` knows how
    models ran that are not loaded now.
    """

    def __init__(
        self,
        entries: Mapping[str, ModelEntry],
        locate: Callable[[ModelEntry], Path],
        engine: Engine,
        past: PastRuns | None = None,
    ) -> None:
        self._entries = entries
        self._locate = locate
        self._engine = engine
        self._past = past

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries.values())

    def get(self, name: str) -> ModelEntry:
        """The entry of that name. Raises `UnknownModel` that names the nearest ones."""
        entry = self._entries.get(name.strip().lower())
        if entry is None:
            near = get_close_matches(name.lower(), [*self._entries], n=3, cutoff=0.4)
            hint = _("Did you mean {near}? ").format(near=", ".join(near)) if near else ""
            raise UnknownModel(
                _("There is no model {name} in the catalogue. {hint}/model list shows all.").format(
                    name=name[:60], hint=hint
                )
            )
        return entry

    def expand(self, name: str) -> Sequence[ModelEntry]:
        """The models of a preset, or the one model of that name. Raises `UnknownModel`."""
        wanted = name.strip().lower()
        members = [entry for entry in self if wanted in entry.presets]
        return members or [self.get(name)]

    def is_installed(self, entry: ModelEntry) -> bool:
        """Whether the model can be used: its files are on this machine, or a server runs it."""
        try:
            self.require_installed(entry)
        except ModelNotInstalled:
            return False
        return True

    def can_answer(self, name: str) -> bool:
        """Whether a model of that name is in the catalogue and on this machine."""
        return name in self._entries and self.is_installed(self._entries[name])

    def require_installed(self, entry: ModelEntry) -> None:
        """Raise `ModelNotInstalled`, which names the command to run, if it is not here."""
        if not entry.is_remote:
            self._locate(entry)

    def run_text(self, entry: ModelEntry) -> str:
        """How a model runs here, or would, in words."""
        loaded = next((one for one in self._engine.resident() if one.name == entry.name), None)
        try:
            folder = None if entry.is_remote else self._locate(entry)
        except ModelNotInstalled:
            folder = None
        return run_text(entry, folder, self._past, None if loaded is None else loaded.mode)

    def resident(self) -> frozenset[str]:
        """The names of the models in memory."""
        return frozenset(model.name for model in self._engine.resident())
