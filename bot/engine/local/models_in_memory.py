"""The models in memory: loads, unloads, and the prefixes kept beside them.

Everything here runs in the engine's worker thread; only `snapshot` may be read from elsewhere.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
import torch

from bot.engine import failures
from bot.engine.base import ModelState, ResidentModel
from bot.engine.batching.batch import Batch, tried_out
from bot.engine.cache.prefix_cache import PrefixCache
from bot.engine.checkpoint.blueprint import Blueprint, choose_device, read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.local.diagnosis import log_error, unloadable
from bot.engine.local.jobs import LoadJob, UnloadJob
from bot.engine.local.residency import NoRoom, Residency, Resident
from bot.engine.machine.cores import SpareCores, core_quota
from bot.engine.machine.memory import available_bytes, return_freed_memory
from bot.engine.run_mode import KnownMode, NoteMode, RunMode
from bot.errors import BrokenModel, EngineUnavailable, FiresideError, ModelError, ModelNotInstalled
from config.catalogue import ModelEntry

logger = logging.getLogger(__name__)

IDLE_S = 15 * 60
"""A model that nobody asked for so long is unloaded, unless it is kept."""

PREFIX_SHARE = 8
"""One in this many bytes of the budget may hold the caches of past answers."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the composition root chose. `memory_budget_bytes` None is half of what is free."""

    entries: Callable[[], Mapping[str, ModelEntry]]
    locate: Callable[[ModelEntry], Path]
    memory_budget_bytes: int | None
    max_waiting: int
    max_rows: int
    exact: bool
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    kept: Callable[[], Collection[str]] = tuple
    """The models that are not unloaded for being idle."""
    pinned: Collection[str] = ()
    """The models that are neither unloaded for being idle nor to make room for others."""
    note_mode: NoteMode = lambda _entry, _folder, _mode: None
    """Hears how a model runs each time that one is loaded."""
    known_mode: KnownMode = lambda _entry, _folder: None
    """What an earlier load of the same files on this machine found."""
    run_submitted: Callable[[], None] = lambda: None
    """Lets in, between two pieces of a load, what was submitted since it began."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, the rows that it generates, and how it does so."""

    checkpoint: Checkpoint
    batch: Batch
    mode: RunMode


FilesState = frozenset[tuple[str, int, int, int]]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A model whose files are of no use, and what members are told: it is not read again at every
    question, but when one of its files or its entry changes."""

    entry: ModelEntry
    files: FilesState
    told: str


class ModelMemory:
    """What is in memory and what is on its way.

    `busy` names the models that answer now. While one loads, `tell_loading` hears its name and
    which share is done (0 to 1), and `between_pieces` lets the answers of others go on. When it is
    over, well or not, `on_load_over` hears its name and how many seconds it took.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        busy: Callable[[], set[str]],
        tell_loading: Callable[[str, float], None],
        between_pieces: Callable[[], None],
        on_load_over: Callable[[str, float], None] = lambda _name, _took_s: None,
    ) -> None:
        self._settings = settings
        self._busy = busy
        self._tell = tell_loading
        self._between_pieces = between_pieces
        self._on_load_over = on_load_over
        self._device = choose_device()
        threads = torch.get_num_threads()
        self._threads = min(threads, core_quota() or threads)
        self._spare = SpareCores(psutil.cpu_count() or self._threads, settings.monotonic)
        self.budget = settings.memory_budget_bytes or free_bytes(self._device) // 2
        self.prefixes = PrefixCache(self.budget // PREFIX_SHARE)
        self.residency: Residency[LoadedModel] = Residency(self.budget, self._available, self._free)
        self._used_at_s: dict[str, float] = {}
        self._loads: list[LoadJob] = []
        self._unloads: list[UnloadJob] = []
        self._unusable: dict[str, Unusable] = {}
        self._loading: str | None = None
        self._reported = 0.0
        self._is_shut_down = False
        self.waits_for_memory = False
        """Somebody's model does not fit before something ends; nothing is loaded until then."""
        self.snapshot: tuple[ResidentModel, ...] = ()

    @property
    def has_work(self) -> bool:
        """Whether somebody waits for a load or an unload."""
        return bool(self._loads or self._unloads)

    @property
    def loading(self) -> str | None:
        """The model that is being loaded."""
        return self._loading

    def request_load(self, job: LoadJob) -> None:
        """Load a model when there is room."""
        self._loads.append(job)

    def request_unload(self, job: UnloadJob) -> None:
        """Unload a model when its answers have ended."""
        self._unloads.append(job)

    def is_draining(self, model: str) -> bool:
        """Whether a model is being unloaded: it begins no answer."""
        return any(job.model == model for job in self._unloads)

    def serve(self) -> None:
        """Unload and load what can be."""
        self._serve_unloads()
        self._serve_loads()

    def loaded(self, entry: ModelEntry) -> LoadedModel:
        """The model, loaded now if it is not.

        Raises `ModelError`, `NoRoom` where it can wait for room, or `EngineUnavailable` once shut
        down.
        """
        if self._is_shut_down:
            raise failures.shutting_down()
        self.note_use(entry.name)
        resident = self.residency.use(entry.name)
        if resident is not None:
            return resident.model
        folder = self._settings.locate(entry)
        files = _state_of(folder)
        known = self._unusable.get(entry.name)
        if known is not None and (known.entry, known.files) == (entry, files):
            raise BrokenModel(known.told)
        try:
            blueprint = read_blueprint(entry, folder, self._device, exact=self._settings.exact)
            self._make_room(blueprint)
            return self._load(blueprint)
        except (ModelError, NoRoom, EngineUnavailable):
            raise
        except Exception as error:  # third-party code over damaged files may raise anything
            log_error(error, entry)
            told = unloadable(entry, error)
            if isinstance(told, BrokenModel) and not isinstance(error, OSError):
                self._unusable[entry.name] = Unusable(entry, files, str(told))
            raise told from error

    def note_use(self, model: str) -> None:
        """Somebody uses a model now."""
        self._used_at_s[model] = self._settings.monotonic()

    def unload_idle(self) -> None:
        """Unload what nobody asked for lately."""
        now_s = self._settings.monotonic()
        stay = {*self._settings.kept(), *self._settings.pinned, *self._busy_now()}
        for name, _resident in self.residency.all():
            if name not in stay and now_s - self._used_at_s[name] >= IDLE_S:
                logger.info("%s was not used for %d minutes: unloaded", name, IDLE_S // 60)
                self.residency.evict(name)
                self._tell_snapshot()

    def has_room_for(self, model: str, batch_bytes: int) -> bool:
        """Whether a model's rows fit beside all weights, other models' rows and kept prefixes."""
        weights, rows = 0, batch_bytes
        for name, resident in self.residency.all():
            weights += resident.weight_bytes
            if name != model:
                rows += resident.model.batch.bytes_with(0, 0, 0)
        return weights + rows + self.prefixes.used_bytes <= self.budget

    def use_threads(self, blueprint: Blueprint) -> None:
        """Compute with as many threads as pay for a model beside what else runs here."""
        threads = 1 if blueprint.is_single_threaded else min(self._threads, self._spare.count)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    def give_back(self) -> None:
        """Free what can be spared, after the memory ran out."""
        self.prefixes.clear()
        return_freed_memory()

    def shut_down(self) -> None:
        """Free everything and tell whoever waits; nothing is loaded any more."""
        self._is_shut_down = True
        for load in list(self._loads):
            self._end_load(load, failures.shutting_down())
        while self._unloads:
            self._unloads.pop().done(failures.shutting_down())
        self.residency.clear()
        self.give_back()
        self._tell_snapshot()

    def _serve_unloads(self) -> None:
        busy = self._busy_now()
        for job in [job for job in self._unloads if job.model not in busy]:
            self.residency.evict(job.model)
            self._unloads.remove(job)
            self._tell_snapshot()
            job.done(None)

    def _serve_loads(self) -> None:
        for job in list(self._loads):
            if self.waits_for_memory or self.is_draining(job.entry.name):
                continue
            try:
                job.context.run(self.loaded, job.entry)
            except NoRoom:
                self.waits_for_memory = True
            except FiresideError as error:
                self._end_load(job, error)
            else:
                job.progress(1.0)
                self._end_load(job, None)

    def _end_load(self, job: LoadJob, error: FiresideError | None) -> None:
        """Tell once: shutting down in the middle of a load has told already."""
        if job in self._loads:
            self._loads.remove(job)
            job.done(error)

    def _make_room(self, blueprint: Blueprint) -> None:
        need = max(blueprint.weight_bytes + blueprint.full_row_bytes, blueprint.loading_bytes)
        try:
            self.residency.make_room(need, {*self._busy_now(), *self._settings.pinned})
        except NoRoom as error:
            if error.could_wait and self._busy():
                raise
            smaller = self._smaller(blueprint.entry)
            raise failures.too_large(blueprint.entry, need, error.room, smaller) from error

    def _load(self, blueprint: Blueprint) -> LoadedModel:
        name, began_s = blueprint.entry.name, self._settings.monotonic()
        self.prefixes.clear()
        self._loading, self._reported = name, -1.0
        self._tell_loading(0.0)
        self._tell_snapshot()
        self.use_threads(blueprint)

        def take_piece(fraction: float) -> None:
            self._take_piece(fraction)
            self.use_threads(blueprint)

        try:
            checkpoint = load_checkpoint(blueprint, take_piece)
            # Tried out last: nearly everything is done.
            place = self._settings.locate(blueprint.entry)
            known = self._settings.known_mode(blueprint.entry, place)
            batch, mode = tried_out(checkpoint, lambda: take_piece(1.0), known)
            loaded = LoadedModel(checkpoint, batch, mode)
            resident = Resident(loaded, blueprint.weight_bytes, blueprint.full_row_bytes)
            self.residency.admit(name, resident)
            self._tell_loading(1.0)
            if mode != known:
                self._settings.note_mode(blueprint.entry, place, mode)
        finally:
            self._loading = None
            self._on_load_over(name, self._settings.monotonic() - began_s)
            self._tell_snapshot()
        return loaded

    def _take_piece(self, fraction: float) -> None:
        """A piece of a model is loaded: new questions come in, other models' answers go on."""
        self._settings.run_submitted()
        if self._is_shut_down:
            raise failures.shutting_down()
        self._tell_loading(fraction * 0.95)
        self._between_pieces()

    def _tell_loading(self, fraction: float) -> None:
        if fraction - self._reported < 0.05 and fraction < 1:
            return
        self._reported = fraction
        name = self._loading or ""
        self._tell(name, fraction)
        for load in self._loads:
            if load.entry.name == name and fraction < 1:
                load.progress(fraction)

    def _smaller(self, entry: ModelEntry) -> ModelEntry | None:
        """The largest installed model that is smaller."""
        entries = self._settings.entries().values()
        by_size = sorted(entries, key=lambda other: other.weight_bytes, reverse=True)
        return next((other for other in by_size if other.weight_bytes < entry.weight_bytes
                     and self._is_installed(other)), None)  # fmt: skip

    def _is_installed(self, entry: ModelEntry) -> bool:
        try:
            self._settings.locate(entry)
        except ModelNotInstalled:
            return False
        return True

    def _free(self, name: str) -> None:
        self.prefixes.drop(name)
        return_freed_memory()
        if self._device.type == "cuda":
            # torch keeps what was freed; only what it returns counts as free.
            torch.cuda.empty_cache()

    def _available(self) -> int:
        """Free memory; the caches of past answers count as free, they go before a load."""
        return free_bytes(self._device) + self.prefixes.used_bytes

    def _busy_now(self) -> set[str]:
        return self._busy() | ({self._loading} if self._loading else set())

    def _tell_snapshot(self) -> None:
        ready = [_described(name, resident) for name, resident in self.residency.all()]
        if self._loading is not None:
            ready.append(ResidentModel(self._loading, ModelState.LOADING, 0, 0))
        self.snapshot = tuple(ready)


def free_bytes(device: torch.device) -> int:
    """Free memory of the GPU, or of the machine."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()


def _state_of(folder: Path) -> FilesState:
    """What changes when any file of a model does; of a GGUF file, or one beside it."""
    place = folder.parent if folder.is_file() else folder
    try:
        found = [(file.name, file.stat()) for file in place.iterdir()]
    except OSError:
        return frozenset()
    return frozenset(
        (name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in found
    )


def _described(name: str, resident: Resident[LoadedModel]) -> ResidentModel:
    return ResidentModel(
        name,
        ModelState.READY,
        resident.weight_bytes,
        resident.cache_bytes,
        resident.model.mode,
    )
