"""The scheduler: bounded, by priority, fair over workspaces and then users."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.base import Priority
from bot.engine.local.scheduler import Scheduler
from bot.errors import Busy


class Job:
    """A job that knows whose it is."""

    def __init__(self, workspace: str, user: str, priority: Priority, number: int) -> None:
        self.key = (workspace, user)
        self.priority = priority
        self.number = number


jobs = st.builds(
    Job,
    st.sampled_from("abc"),
    st.sampled_from("xyz"),
    st.sampled_from(Priority),
    st.integers(0, 1000),
)


def filled(queue: list[Job], max_rows: int = 1) -> Scheduler[Job]:
    scheduler: Scheduler[Job] = Scheduler(len(queue), max_rows)
    for job in queue:
        scheduler.submit(job, job.key, job.priority)
    return scheduler


def drained(scheduler: Scheduler[Job]) -> list[Job]:
    order: list[Job] = []
    while (job := scheduler.head()) is not None:
        scheduler.admit(job)
        order.append(job)
        scheduler.remove(job)
    return order


@given(st.lists(jobs, max_size=30))
def test_every_job_is_admitted_exactly_once(queue: list[Job]) -> None:
    scheduler = filled(queue)
    assert Counter(map(id, drained(scheduler))) == Counter(map(id, queue))
    assert scheduler.waiting_count == 0


@given(st.lists(jobs, max_size=30))
def test_the_more_urgent_go_first(queue: list[Job]) -> None:
    priorities = [job.priority for job in drained(filled(queue))]
    assert priorities == sorted(priorities)


@given(st.lists(jobs, max_size=30))
def test_one_users_jobs_of_one_priority_keep_their_order(queue: list[Job]) -> None:
    order = drained(filled(queue))
    for key in {(job.key, job.priority) for job in queue}:
        sent = [id(job) for job in queue if (job.key, job.priority) == key]
        assert [id(job) for job in order if (job.key, job.priority) == key] == sent


@given(st.lists(jobs, max_size=30))
def test_no_workspace_is_served_twice_while_another_one_waits_for_its_turn(
    queue: list[Job],
) -> None:
    for priority in Priority:
        order = [job for job in drained(filled(queue)) if job.priority is priority]
        left = Counter(job.key[0] for job in order)
        served: Counter[str] = Counter()
        for job in order:
            waiting = [name for name in left if left[name] > 0]
            assert served[job.key[0]] <= min(served[name] for name in waiting)
            served[job.key[0]] += 1
            left[job.key[0]] -= 1


@given(st.lists(jobs, max_size=30))
def test_within_a_workspace_users_take_turns(queue: list[Job]) -> None:
    for priority in Priority:
        order = [job for job in drained(filled(queue)) if job.priority is priority]
        for workspace in {job.key[0] for job in order}:
            own = [job for job in order if job.key[0] == workspace]
            left = Counter(job.key[1] for job in own)
            served: Counter[str] = Counter()
            for job in own:
                waiting = [name for name in left if left[name] > 0]
                assert served[job.key[1]] <= min(served[name] for name in waiting)
                served[job.key[1]] += 1
                left[job.key[1]] -= 1


@given(st.lists(jobs, min_size=1, max_size=20), st.integers(1, 5))
def test_rows_in_use_never_exceed_the_bound(queue: list[Job], max_rows: int) -> None:
    scheduler: Scheduler[Job] = Scheduler(len(queue), max_rows)
    for job in queue:
        scheduler.submit(job, job.key, job.priority, rows=1 + job.number % 7)
    while scheduler.waiting_count:
        while (job := scheduler.head()) is not None:
            scheduler.admit(job)
        assert 0 < scheduler.active_rows <= max_rows
        scheduler.remove(scheduler.active()[0])


def test_a_full_queue_is_told_and_admitting_makes_room() -> None:
    scheduler: Scheduler[Job] = Scheduler(2, 1)
    queue = [Job("a", "x", Priority.INTERACTIVE, number) for number in range(4)]
    for job in queue[:2]:
        scheduler.submit(job, job.key, job.priority)
    with pytest.raises(Busy, match="2"):
        scheduler.submit(queue[2], queue[2].key, queue[2].priority)
    scheduler.admit(queue[0])
    scheduler.submit(queue[2], queue[2].key, queue[2].priority)
    assert list(scheduler.waiting()) == [queue[1], queue[2]]


def test_a_waiting_job_can_be_withdrawn_and_unknown_ones_are_ignored() -> None:
    job = Job("a", "x", Priority.INTERACTIVE, 1)
    scheduler = filled([job])
    scheduler.remove(job)
    scheduler.remove(job)
    assert scheduler.head() is None
    assert scheduler.waiting_count == 0


def test_the_head_stays_the_head_until_it_is_admitted() -> None:
    queue = [Job(workspace, "x", Priority.INTERACTIVE, 1) for workspace in "ab"]
    scheduler = filled(queue, max_rows=2)
    assert scheduler.head() is scheduler.head() is queue[0]


def test_somebody_who_floods_delays_somebody_else_by_one_answer() -> None:
    flood = [Job("a", "x", Priority.INTERACTIVE, number) for number in range(200)]
    scheduler: Scheduler[Job] = Scheduler(201, 1)
    for job in flood:
        scheduler.submit(job, job.key, job.priority)
    for job in flood[:20]:
        scheduler.admit(job)
        scheduler.remove(job)
    running = flood[20]
    scheduler.admit(running)
    other = Job("a", "y", Priority.INTERACTIVE, 0)
    scheduler.submit(other, other.key, other.priority)
    assert next(scheduler.order()) is other
    scheduler.remove(running)
    assert scheduler.head() is other


def test_time_without_questions_is_no_credit() -> None:
    scheduler: Scheduler[Job] = Scheduler(40, 1)
    for number in range(20):
        early = Job("a", "x", Priority.INTERACTIVE, number)
        scheduler.submit(early, early.key, early.priority)
    for _ in range(10):
        job = scheduler.head()
        assert job is not None
        scheduler.admit(job)
        scheduler.remove(job)
    for number in range(10):
        late = Job("b", "x", Priority.INTERACTIVE, number)
        scheduler.submit(late, late.key, late.priority)
    order = [job.key[0] for job in scheduler.order()]
    assert order[:4].count("a") == 2


@given(st.lists(jobs, max_size=30))
def test_the_order_told_is_the_order_in_which_they_generate(queue: list[Job]) -> None:
    scheduler = filled(queue)
    told = list(scheduler.order())
    assert told == drained(scheduler)


def test_in_a_full_queue_the_last_of_whoever_has_most_makes_room() -> None:
    queue = [Job("a", "x", Priority.INTERACTIVE, number) for number in range(4)]
    scheduler = filled(queue)
    for number, expected in enumerate([queue[3], queue[2]]):
        other = Job("b", "y", Priority.INTERACTIVE, number)
        assert scheduler.submit(other, other.key, other.priority) is expected
    third = Job("b", "y", Priority.INTERACTIVE, 3)
    with pytest.raises(Busy):
        scheduler.submit(third, third.key, third.priority)
    assert scheduler.waiting_count == 4


def test_a_background_job_gives_way_and_goes_on_before_others_of_its_kind() -> None:
    first, second, third = (Job("a", "x", Priority.BACKGROUND, number) for number in range(3))
    scheduler = filled([first, second, third], max_rows=2)
    scheduler.admit(first)
    scheduler.admit(second)
    assert scheduler.preempted_by_head() is None
    urgent = Job("b", "y", Priority.INTERACTIVE, 0)
    scheduler.submit(urgent, urgent.key, urgent.priority)
    assert scheduler.preempted_by_head() is second
    scheduler.put_back(second)
    assert scheduler.preempted_by_head() is None
    assert scheduler.head() is urgent
    scheduler.admit(urgent)
    assert scheduler.preempted_by_head() is None
    scheduler.remove(urgent)
    assert scheduler.head() is second


def test_who_may_not_begin_does_not_hold_up_the_others() -> None:
    queue = [Job(workspace, "x", Priority.INTERACTIVE, 0) for workspace in "ab"]
    scheduler = filled(queue)
    assert scheduler.head(lambda job: job.key[0] == "b") is queue[1]
    assert scheduler.head(lambda job: False) is None
