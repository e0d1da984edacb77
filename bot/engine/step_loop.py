"""The engine's worker side: admit, load, step, finish; one forward pass of one model at a time.

Everything here runs in the engine's worker thread; only `snapshot` may be read from elsewhere.
"""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from bot.engine import failures
from bot.engine.base import (
    FinishReason,
    Loading,
    ModelState,
    ResidentModel,
    Usage,
)
from bot.engine.batch import Batch, batch_for
from bot.engine.checkpoint import (
    Blueprint,
    Checkpoint,
    choose_device,
    load_checkpoint,
    read_blueprint,
)
from bot.engine.decoding import BrokenNumbers
from bot.engine.generation import Generation
from bot.engine.jobs import AnswerJob, LoadJob, UnloadJob
from bot.engine.kv_cache import PrefixCache
from bot.engine.memory import available_bytes, return_freed_memory
from bot.engine.residency import NoRoom, Residency, Resident
from bot.engine.scheduler import Scheduler
from bot.engine.tokenizer import TemplateRefused
from bot.engine.weights import DamagedCheckpoint
from bot.errors import (
    EngineUnavailable,
    FiresideError,
    ModelError,
    ModelNotInstalled,
    UserFacingError,
)
from bot.translations import gettext as _
from config.catalogue import ModelEntry

logger = logging.getLogger(__name__)

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
    run_submitted: Callable[[], None] = lambda: None
    """Lets in, between two pieces of a load, what was submitted since it began."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory and the rows that it generates."""

    checkpoint: Checkpoint
    batch: Batch


class StepLoop:
    """What the worker owns: models, rows, queues. `step` does one unit of work."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._device = choose_device()
        self._threads = torch.get_num_threads()
        self._budget = settings.memory_budget_bytes or free_bytes(self._device) // 2
        self._prefixes = PrefixCache(self._budget // PREFIX_SHARE)
        self._residency: Residency[LoadedModel] = Residency(
            self._budget, self._available, self._free
        )
        self._scheduler: Scheduler[AnswerJob] = Scheduler(settings.max_waiting, settings.max_rows)
        self._generations: dict[AnswerJob, Generation] = {}
        self._loads: list[LoadJob] = []
        self._unloads: list[UnloadJob] = []
        self._waits_for_memory = False
        self._steps = 0
        self._stepped_at: dict[str, int] = {}
        self._loading: str | None = None
        self._reported = 0.0
        self._is_shut_down = False
        self.snapshot: tuple[ResidentModel, ...] = ()
        self.passes: dict[str, int] = {}
        """Forward passes done by model, for tests and `doctor`."""

    # What is asked of it.

    def submit(self, job: AnswerJob) -> None:
        """Let an answer wait for its turn; a full queue is told."""
        request = job.request
        rows = self._rows(job)
        try:
            job.context.run(
                self._scheduler.submit, job, request.fairness_key, request.priority, rows
            )
        except UserFacingError as error:
            job.finish(FinishReason.ERROR, Usage(), error.text)

    def request_load(self, job: LoadJob) -> None:
        """Load a model when there is room."""
        self._loads.append(job)

    def request_unload(self, job: UnloadJob) -> None:
        """Unload a model when its answers have ended."""
        self._unloads.append(job)

    def forget(self, cache_key: str) -> None:
        """Drop the prefixes of a conversation and of those below it."""
        self._prefixes.forget(cache_key)

    def drop_gone(self) -> None:
        """End the waiting answers that nobody waits for any more, or whose time is over."""
        now = self._settings.clock()
        for job in list(self._scheduler.waiting()):
            if job.is_cancelled:
                self._finish(job, FinishReason.CANCELLED)
            elif job.request.deadline is not None and now >= job.request.deadline:
                self._finish(job, FinishReason.TIME)

    def shut_down(self) -> None:
        """End every answer, load and unload and free everything; nothing is loaded any more."""
        self._is_shut_down = True
        for job in [*self._scheduler.waiting(), *self._scheduler.active()]:
            self._finish(job, FinishReason.CANCELLED)
        for load in list(self._loads):
            self._end_load(load, failures.shutting_down())
        while self._unloads:
            self._unloads.pop().done(failures.shutting_down())
        self._residency.clear()
        self._prefixes.clear()
        return_freed_memory()
        self._tell_snapshot()

    # One unit of work.

    def step(self) -> bool:
        """Admit who can be, then one forward pass; whether there is more to do."""
        self.drop_gone()
        self._serve_unloads()
        self._serve_loads()
        self._admit()
        self._advance()
        has_jobs = bool(self._scheduler.active() or self._scheduler.waiting_count)
        return has_jobs or bool(self._loads or self._unloads)

    def _serve_unloads(self) -> None:
        busy = self._busy()
        for job in [job for job in self._unloads if job.model not in busy]:
            self._residency.evict(job.model)
            self._unloads.remove(job)
            self._tell_snapshot()
            job.done(None)

    def _serve_loads(self) -> None:
        for job in list(self._loads):
            if self._waits_for_memory or job.entry.name in self._draining():
                continue
            try:
                job.context.run(self._resident, job.entry)
            except NoRoom:
                self._waits_for_memory = True
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

    def _admit(self) -> None:
        while (job := self._scheduler.head()) is not None:
            if self._waits_for_memory or job.entry.name in self._draining():
                return
            try:
                is_admitted = job.context.run(self._begin, job)
            except Exception as error:  # the top of one answer: it is told, the others go on
                self._fail(job, error)
                continue
            if not is_admitted:
                self._waits_for_memory = True
                return

    def _begin(self, job: AnswerJob) -> bool:
        """Load, prepare and admit the head; False if it must wait for memory."""
        if job not in self._generations:
            try:
                loaded = self._resident(job.entry)
            except NoRoom:
                return False
            if job.is_finished:  # cancelled while the model was loading
                return True
            self._generations[job] = Generation(
                job,
                loaded.checkpoint,
                loaded.batch,
                self._prefixes,
                self._rows(job),
                self._settings.monotonic,
            )
        if self._scheduler.active() and not self._has_row_memory(job):
            return False
        self._scheduler.admit(job)
        self._generations[job].begin()
        return True

    def _has_row_memory(self, job: AnswerJob) -> bool:
        """Whether the rows' caches fit beside the models; one answer alone always may."""
        rows = self._generations[job].batch_bytes
        weights = 0
        for name, resident in self._residency.all():
            weights += resident.weight_bytes
            if name != job.entry.name:
                rows += resident.model.batch.bytes_with(0, 0, 0)
        return weights + rows + self._prefixes.used_bytes <= self._budget

    def _advance(self) -> None:
        """One forward pass of the model whose turn it is."""
        active = self._scheduler.active()
        if not active:
            return
        names = {job.entry.name for job in active}
        name = min(sorted(names), key=lambda name: self._stepped_at.get(name, 0))
        self._steps += 1
        self._stepped_at[name] = self._steps
        jobs = [job for job in active if job.entry.name == name]
        for job in jobs:
            deadline = job.request.deadline
            if job.is_cancelled:
                self._finish(job, FinishReason.CANCELLED)
            elif deadline is not None and self._settings.clock() >= deadline:
                self._finish(job, FinishReason.TIME)
        jobs = [job for job in jobs if job in self._generations]
        resident = self._residency.peek(name)
        if jobs and resident is not None:
            self._step_batch(resident.model, jobs)

    def _step_batch(self, loaded: LoadedModel, jobs: Sequence[AnswerJob]) -> None:
        blueprint = loaded.checkpoint.blueprint
        self.passes[blueprint.entry.name] = self.passes.get(blueprint.entry.name, 0) + 1
        self._use_threads(blueprint)
        try:
            ready = set(loaded.batch.step())
        except Exception as error:  # the top of a pass: whose it was are told, the others go on
            fed = loaded.batch.fed
            for job in [job for job in jobs if self._generations[job].owns(fed)] or jobs:
                self._fail(job, error)
            return
        for job in jobs:
            try:
                goes_on = job.context.run(self._generations[job].take, ready)
            except Exception as error:  # the top of one answer: it is told, the others go on
                self._fail(job, error)
            else:
                if not goes_on:
                    self._forget(job)

    def _use_threads(self, blueprint: Blueprint) -> None:
        threads = 1 if blueprint.is_single_threaded else self._threads
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

    # How answers end.

    def _finish(self, job: AnswerJob, reason: FinishReason) -> None:
        generation = self._generations.get(job)
        if generation is None:
            job.finish(reason, Usage())
        else:
            job.context.run(generation.finish, reason)
        self._forget(job)

    def _fail(self, job: AnswerJob, error: Exception) -> None:
        told = job.context.run(_told, job.entry, error)
        if told is not error:
            _log(error, job.entry)
        self._forget(job)
        if _is_out_of_memory(error):
            self._prefixes.clear()
            return_freed_memory()
        job.finish(FinishReason.ERROR, Usage(), told.text)

    def _forget(self, job: AnswerJob) -> None:
        self._scheduler.remove(job)
        generation = self._generations.pop(job, None)
        if generation is not None:
            generation.leave()
        self._waits_for_memory = False

    # Models in memory.

    def _resident(self, entry: ModelEntry) -> LoadedModel:
        """The loaded model.

        Raises `ModelError`, `NoRoom` where it can wait for room, or `EngineUnavailable` once shut
        down.
        """
        if self._is_shut_down:
            raise failures.shutting_down()
        resident = self._residency.use(entry.name)
        if resident is not None:
            return resident.model
        folder = self._settings.locate(entry)
        try:
            blueprint = read_blueprint(entry, folder, self._device, exact=self._settings.exact)
            self._make_room(blueprint)
            return self._load(blueprint)
        except (ModelError, NoRoom, EngineUnavailable):
            raise
        except Exception as error:  # third-party code over damaged files may raise anything
            _log(error, entry)
            raise _unloadable(entry, error) from error

    def _make_room(self, blueprint: Blueprint) -> None:
        need = blueprint.weight_bytes + blueprint.full_row_bytes
        try:
            self._residency.make_room(need, self._busy())
        except NoRoom as error:
            if error.could_wait and self._generations:
                raise
            smaller = self._smaller(blueprint.entry)
            raise failures.too_large(blueprint.entry, need, error.room, smaller) from error

    def _load(self, blueprint: Blueprint) -> LoadedModel:
        name = blueprint.entry.name
        self._prefixes.clear()
        self._loading, self._reported = name, -1.0
        self._tell_loading(0.0)
        self._tell_snapshot()
        self._use_threads(blueprint)
        try:
            checkpoint = load_checkpoint(blueprint, self._on_piece)
            loaded = LoadedModel(checkpoint, batch_for(checkpoint))
            resident = Resident(loaded, blueprint.weight_bytes, blueprint.full_row_bytes)
            self._residency.admit(name, resident)
            self._tell_loading(1.0)
        finally:
            self._loading = None
            self._tell_snapshot()
        return loaded

    def _on_piece(self, fraction: float) -> None:
        """A piece of a model is loaded: new questions come in, other models' answers go on."""
        self._settings.run_submitted()
        if self._is_shut_down:
            raise failures.shutting_down()
        self._tell_loading(fraction * 0.95)
        self._advance()

    def _tell_loading(self, fraction: float) -> None:
        if fraction - self._reported < 0.05 and fraction < 1:
            return
        self._reported = fraction
        name = self._loading or ""
        for job in self._scheduler.waiting():
            if job.entry.name == name and not job.is_cancelled:
                job.emit(Loading(name, fraction))
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
        self._prefixes.drop(name)
        return_freed_memory()
        if self._device.type == "cuda":
            # torch keeps what was freed; only what it returns counts as free.
            torch.cuda.empty_cache()

    def _available(self) -> int:
        """Free memory; the caches of past answers count as free, they go before a load."""
        return free_bytes(self._device) + self._prefixes.used_bytes

    def _busy(self) -> set[str]:
        busy = {job.entry.name for job in self._generations}
        return busy | ({self._loading} if self._loading else set())

    def _draining(self) -> set[str]:
        return {job.model for job in self._unloads}

    def _rows(self, job: AnswerJob) -> int:
        return max(1, min(job.request.sampling.best_of, self._scheduler.max_rows))

    def _tell_snapshot(self) -> None:
        ready = [_described(name, resident) for name, resident in self._residency.all()]
        if self._loading is not None:
            ready.append(ResidentModel(self._loading, ModelState.LOADING, 0, 0, ""))
        self.snapshot = tuple(ready)


def free_bytes(device: torch.device) -> int:
    """Free memory of the GPU, or of the machine."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()


def _described(name: str, resident: Resident[LoadedModel]) -> ResidentModel:
    return ResidentModel(
        name,
        ModelState.READY,
        resident.weight_bytes,
        resident.cache_bytes,
        resident.model.checkpoint.blueprint.kernel,
    )


def _told(entry: ModelEntry, error: Exception) -> UserFacingError:
    match error:
        case UserFacingError():
            return error
        case BrokenNumbers():
            return failures.gave_no_numbers(entry)
        case TemplateRefused():
            return failures.broken(entry, _("its chat template refuses this conversation"))
        case _ if _is_out_of_memory(error):
            return failures.out_of_memory(entry)
        case _:
            return failures.went_wrong(entry)


def _unloadable(entry: ModelEntry, error: Exception) -> ModelError:
    if _is_out_of_memory(error):
        return failures.out_of_memory(entry)
    if isinstance(error, DamagedCheckpoint):
        return failures.broken(entry, str(error))
    return failures.broken(entry, _("its files are damaged or of another kind"))


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU torch raises a plain RuntimeError that names its allocator.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _log(error: Exception, entry: ModelEntry) -> None:
    """Type and place only: an error's own text may quote what somebody wrote."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s: %s\n%s", entry.name, type(error).__name__, frames)
