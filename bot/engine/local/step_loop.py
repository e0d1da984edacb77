"""The engine's worker side: admit, step, finish; one forward pass of one model at a time.

Everything here runs in the engine's worker thread.
"""

from collections.abc import Sequence

from bot.conversation import is_within
from bot.engine import failures
from bot.engine.base import FinishReason, Loading, Usage, Waiting
from bot.engine.cache.prefix_cache import SHARED
from bot.engine.local.diagnosis import is_out_of_memory, log_error, told
from bot.engine.local.generation import Generation
from bot.engine.local.jobs import AnswerJob
from bot.engine.local.models_in_memory import EngineSettings, LoadedModel, ModelMemory
from bot.engine.local.residency import NoRoom
from bot.engine.local.scheduler import Scheduler
from bot.engine.local.wait_estimate import WaitEstimate
from bot.errors import UserFacingError


class StepLoop:
    """What the worker owns: models, rows, queues. `step` does one unit of work."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self.memory = ModelMemory(
            settings,
            busy=self._busy,
            tell_loading=self._tell_loading,
            between_pieces=self._advance,
            on_load_over=self._put_off,
        )
        self._scheduler: Scheduler[AnswerJob] = Scheduler(settings.max_waiting, settings.max_rows)
        self._estimate = WaitEstimate()
        self._generations: dict[AnswerJob, Generation] = {}
        self._steps = 0
        self._stepped_at: dict[str, int] = {}
        self.passes: dict[str, int] = {}
        """Forward passes done by model, for tests and `doctor`."""

    # What is asked of it.

    def submit(self, job: AnswerJob) -> None:
        """Let an answer wait for its turn.

        Where it cannot wait, or would wait past its deadline, it is told at once. When all places
        are taken, whoever takes most of them loses the last one.
        """
        request = job.request
        try:
            displaced = job.context.run(
                self._scheduler.submit,
                job,
                request.fairness_key,
                request.priority,
                self._rows(job),
            )
        except UserFacingError as error:
            job.finish(FinishReason.ERROR, Usage(), error.text)
            return
        if displaced is not None:
            self._refuse(displaced)
        self._refuse_the_hopeless(job)

    def forget(self, cache_key: str) -> None:
        """Drop the prefixes of a conversation and of those below it; its answers leave none.

        System prompts go too: they may be what a member wrote.
        """
        for key in (cache_key, SHARED):
            self.memory.prefixes.forget(key)
        for job in [*self._scheduler.waiting(), *self._scheduler.active()]:
            key = job.request.cache_key
            job.keeps_prefix = job.keeps_prefix and bool(key) and not is_within(key, cache_key)

    def drop_gone(self) -> None:
        """End the waiting answers that nobody waits for any more, or whose time is over."""
        now = self._settings.clock()
        for job in self._scheduler.waiting():
            if job.is_cancelled:
                self._finish(job, FinishReason.CANCELLED)
            elif job.entry.name == self.memory.loading:
                continue
            elif job.deadline is not None and now >= job.deadline:
                self._finish(job, FinishReason.TIME)

    def shut_down(self) -> None:
        """End every answer, load and unload and free everything; nothing is loaded any more."""
        for job in [*self._scheduler.waiting(), *self._scheduler.active()]:
            self._finish(job, FinishReason.CANCELLED)
        self.memory.shut_down()

    # One unit of work.

    def step(self) -> bool:
        """Admit who can be, then one forward pass; whether there is more to do."""
        self.drop_gone()
        self.memory.serve()
        self._admit()
        self._tell_waiting()
        self._advance()
        has_jobs = bool(self._scheduler.active() or self._scheduler.waiting_count)
        return has_jobs or self.memory.has_work

    def _admit(self) -> None:
        while (job := self._next_head()) is not None:
            try:
                is_admitted = job.context.run(self._begin, job)
            except Exception as error:  # the top of one answer: it is told, the others go on
                self._fail(job, error)
                continue
            if not is_admitted:
                self.memory.waits_for_memory = True
                return

    def _next_head(self) -> AnswerJob | None:
        """The job whose turn it is; background answers that are in its way are put off."""
        while (lesser := self._scheduler.preempted_by_head(self._may_begin)) is not None:
            self._generations[lesser].suspend()
            self._scheduler.put_back(lesser)
        return self._scheduler.head(self._may_begin)

    def _may_begin(self, job: AnswerJob) -> bool:
        """What was put off may always go on: others may be waiting for its memory."""
        if job in self._generations:
            return True
        return not (self.memory.waits_for_memory or self.memory.is_draining(job.entry.name))

    def _begin(self, job: AnswerJob) -> bool:
        """Load, prepare and admit the head; False if it must wait for memory."""
        if job not in self._generations:
            try:
                loaded = self.memory.loaded(job.entry)
            except NoRoom:
                return False
            if job.is_finished:  # cancelled while the model was loading
                return True
            self._generations[job] = Generation(
                job,
                loaded.checkpoint,
                loaded.batch,
                self.memory.prefixes,
                self._rows(job),
                self._settings.monotonic,
            )
        generation = self._generations[job]
        has_room = self.memory.has_room_for(job.entry.name, generation.batch_bytes)
        if self._scheduler.active() and not has_room:
            return False
        self._scheduler.admit(job)
        generation.begin()
        return True

    def _advance(self) -> None:
        """One forward pass of the model that waits longest for one."""
        active = self._scheduler.active()
        if not active:
            return
        names = sorted({job.entry.name for job in active})
        name = min(names, key=lambda name: self._stepped_at.get(name, 0))
        self._steps += 1
        self._stepped_at[name] = self._steps
        jobs = [job for job in active if job.entry.name == name]
        for job in jobs:
            deadline = job.deadline
            if job.is_cancelled:
                self._finish(job, FinishReason.CANCELLED)
            elif deadline is not None and self._settings.clock() >= deadline:
                self._finish(job, FinishReason.TIME)
        jobs = [job for job in jobs if job in self._generations]
        resident = self.memory.residency.peek(name)
        if jobs and resident is not None:
            self._step_batch(resident.model, jobs)

    def _step_batch(self, loaded: LoadedModel, jobs: Sequence[AnswerJob]) -> None:
        blueprint = loaded.checkpoint.blueprint
        self.passes[blueprint.entry.name] = self.passes.get(blueprint.entry.name, 0) + 1
        self.memory.use_threads(blueprint)
        self.memory.note_use(blueprint.entry.name)
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
                    self._estimate.note(self._generations[job].took_s)
                    self._forget(job)

    # How answers end.

    def _finish(self, job: AnswerJob, reason: FinishReason) -> None:
        generation = self._generations.get(job)
        if generation is None:
            job.finish(reason, Usage())
        else:
            job.context.run(generation.finish, reason)
        self._forget(job)

    def _fail(self, job: AnswerJob, error: Exception) -> None:
        shown = job.context.run(told, job.entry, error)
        if shown is not error:
            log_error(error, job.entry)
        self._forget(job)
        if is_out_of_memory(error):
            self.memory.give_back()
        job.finish(FinishReason.ERROR, Usage(), shown.text)

    def _forget(self, job: AnswerJob) -> None:
        self._scheduler.remove(job)
        generation = self._generations.pop(job, None)
        if generation is not None:
            generation.leave()
        self.memory.waits_for_memory = False

    def _refuse(self, job: AnswerJob) -> None:
        """Tell somebody that there is too much to do."""
        wait_s = self._expected_s(self._scheduler.waiting_count)
        busy = job.context.run(failures.too_busy, self._scheduler.waiting_count, wait_s)
        self._forget(job)
        job.finish(FinishReason.ERROR, Usage(), busy.text)

    def _refuse_the_hopeless(self, job: AnswerJob) -> None:
        """Whoever would wait past the deadline is told now, and not when it has passed."""
        deadline = job.deadline
        if deadline is None or self._scheduler.head() is job:
            return
        if job.entry.name == self.memory.loading:
            return
        position = 1 + next(i for i, other in enumerate(self._scheduler.order()) if other is job)
        wait_s = self._expected_s(position)
        if wait_s is not None and wait_s > (deadline - self._settings.clock()).total_seconds():
            self._refuse(job)

    # What those who wait are told.

    def _put_off(self, model: str, took_s: float) -> None:
        """A load is over: those who waited for it get the time back that it took of theirs."""
        now_s = self._settings.monotonic()
        for job in self._scheduler.waiting():
            if job.entry.name == model:
                job.put_off(min(took_s, now_s - job.submitted_at_s))

    def _expected_s(self, position: int) -> float | None:
        return self._estimate.expected_s(position, len(self._scheduler.active()))

    def _tell_waiting(self) -> None:
        if not self._scheduler.waiting_count:
            return
        for position, job in enumerate(self._scheduler.order(), 1):
            if job.told_position != position and not job.is_cancelled:
                job.told_position = position
                job.emit(Waiting(position, self._expected_s(position)))

    def _tell_loading(self, model: str, fraction: float) -> None:
        for job in self._scheduler.waiting():
            if job.entry.name == model and not job.is_cancelled:
                job.emit(Loading(model, fraction))

    def _busy(self) -> set[str]:
        return {job.entry.name for job in self._generations}

    def _rows(self, job: AnswerJob) -> int:
        return max(1, min(job.request.sampling.best_of, self._scheduler.max_rows))
