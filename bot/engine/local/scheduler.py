"""Who generates and who waits: fair over workspaces, then users (pure, no torch).

It holds no text and steps nothing: jobs are opaque to it. Turns follow start-time fair queueing
(Goyal, Vin, Cheng 1996): whoever was served is charged, and who was charged least goes next.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bot.engine.base import Priority
from bot.errors import Busy
from bot.translations import gettext as _

J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class _Place:
    workspace: str
    user: str
    priority: Priority
    rows: int


@dataclass(slots=True)
class _Share:
    """What one workspace, or one user of it, was charged, in virtual time."""

    charged: float = 0.0
    users: "dict[str, _Share]" = field(default_factory=dict[str, "_Share"])
    virtual_time: float = 0.0

    def enter(self, user: str) -> None:
        """Somebody begins to wait: time without questions is no credit."""
        share = self.users.setdefault(user, _Share())
        share.charged = max(share.charged, self.virtual_time)

    def charge(self, user: str, cost: float) -> None:
        """Somebody was served."""
        share = self.users[user]
        self.virtual_time = share.charged
        share.charged += cost

    def copy(self) -> "_Share":
        """The same, to look ahead with."""
        users = {name: share.copy() for name, share in self.users.items()}
        return _Share(self.charged, users, self.virtual_time)


class Scheduler(Generic[J]):
    """Bounded waiting places and a bounded number of rows that generate at once.

    Waiting jobs are taken by priority, then from the workspace that was served least, there from
    the user who was served least, then in order of arrival. A newcomer counts as served as much as
    those who are waiting already.
    """

    def __init__(
        self,
        max_waiting: int,
        max_rows: int,
    ) -> None:
        self._max_waiting = max_waiting
        self._max_rows = max_rows
        self._waiting: deque[J] = deque()
        self._active: list[J] = []
        self._places: dict[int, _Place] = {}
        self._shares = {priority: _Share() for priority in Priority}

    @property
    def max_rows(self) -> int:
        """The most rows that generate at once."""
        return self._max_rows

    def submit(
        self, job: J, fairness_key: tuple[str, str], priority: Priority, rows: int = 1
    ) -> J | None:
        """Let a job wait. When all places are taken and somebody else has at least two more of them
        than this user, the last of those is returned: it waits no longer. Raises `Busy` otherwise.
        """
        place = _Place(*fairness_key, priority, min(rows, self._max_rows))
        displaced = None
        if self.waiting_count >= self._max_waiting:
            displaced = self._dispensable(place)
            if displaced is None:
                raise Busy(
                    _("I am busy: {count} questions are waiting already. Try again in a moment.")
                    .format(count=self.waiting_count)
                )  # fmt: skip
            self.remove(displaced)
        self._enter(job, place)
        self._waiting.append(job)
        return displaced

    def _dispensable(self, place: _Place) -> J | None:
        """The last job of the user who has most places, if that is more than this one's share."""
        counts = Counter(self._user(job) for job in self._waiting)
        if not counts:
            return None
        user, most = counts.most_common(1)[0]
        if most < counts[place.workspace, place.user] + 2:
            return None
        return [job for job in self._waiting if self._user(job) == user][-1]

    def _enter(self, job: J, place: _Place) -> None:
        self._places[id(job)] = place
        shares = self._shares[place.priority]
        others = [self._place(other) for other in self._waiting]
        if not any((o.priority, o.workspace) == (place.priority, place.workspace) for o in others):
            shares.enter(place.workspace)
        key = (place.priority, place.workspace, place.user)
        if not any((o.priority, o.workspace, o.user) == key for o in others):
            shares.users[place.workspace].enter(place.user)

    @property
    def waiting_count(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    @property
    def active_rows(self) -> int:
        """How many rows generate."""
        return sum(self._place(job).rows for job in self._active)

    def waiting(self) -> Sequence[J]:
        """The waiting jobs, in order of arrival."""
        return tuple(self._waiting)

    def active(self) -> Sequence[J]:
        """The generating jobs, in the order in which they were admitted."""
        return tuple(self._active)

    def order(self) -> Iterator[J]:
        """The waiting jobs in the order in which they will generate, if nobody else comes."""
        waiting: list[J] = list(self._waiting)
        shares = {priority: share.copy() for priority, share in self._shares.items()}
        while waiting:
            job = self._first(waiting, shares)
            waiting = [other for other in waiting if other is not job]
            self._charge(job, shares)
            yield job

    def head(self, may_begin: Callable[[J], bool] = lambda _job: True) -> J | None:
        """Of those that may begin the job whose turn it is, if its rows fit; it stays the head
        until it is admitted.
        """
        job = self._next(may_begin)
        if job is None or self.active_rows + self._place(job).rows > self._max_rows:
            return None
        return job

    def admit(self, job: J) -> None:
        """Let a waiting job generate."""
        self._charge(job, self._shares)
        self._waiting = deque(other for other in self._waiting if other is not job)
        self._active.append(job)

    def preempted_by_head(self, may_begin: Callable[[J], bool] = lambda _job: True) -> J | None:
        """The generating job that should give its rows to the head: the background job admitted
        last, when a more urgent one waits and has no room.
        """
        job = self._next(may_begin)
        if job is None or self.head(may_begin) is not None:
            return None
        urgent = self._place(job).priority
        lesser = [job for job in self._active if self._place(job).priority > urgent]
        return lesser[-1] if lesser else None

    def put_back(self, job: J) -> None:
        """A generating job waits again, before everybody else of its user; it keeps its place even
        when all are taken, and what it was charged is no reason to let it wait longer.
        """
        self._active = [other for other in self._active if other is not job]
        place = self._place(job)
        self._enter(job, place)
        shares = self._shares[place.priority]
        workspace = shares.users[place.workspace]
        workspace.charged -= place.rows
        workspace.users[place.user].charged -= place.rows
        self._waiting.appendleft(job)

    def remove(self, job: J) -> None:
        """Forget a job, waiting or generating; unknown ones are ignored."""
        if self._places.pop(id(job), None) is None:
            return
        self._waiting = deque(other for other in self._waiting if other is not job)
        self._active = [other for other in self._active if other is not job]
        if not self._places:
            # Nobody is compared with anybody: shares would only grow with the people ever seen.
            self._shares = {priority: _Share() for priority in Priority}

    def _place(self, job: J) -> _Place:
        return self._places[id(job)]

    def _user(self, job: J) -> tuple[str, str]:
        place = self._place(job)
        return place.workspace, place.user

    def _next(self, may_begin: Callable[[J], bool]) -> J | None:
        ready = [job for job in self._waiting if may_begin(job)]
        return self._first(ready, self._shares) if ready else None

    def _first(self, waiting: Sequence[J], shares: dict[Priority, _Share]) -> J:
        # `min` takes the first of equals, and jobs stand in order of arrival.
        def turn(job: J) -> tuple[int, float]:
            place = self._place(job)
            return place.priority, shares[place.priority].users[place.workspace].charged

        first = self._place(min(waiting, key=turn))
        users = shares[first.priority].users[first.workspace].users
        own = [
            job
            for job in waiting
            if self._place(job).priority == first.priority
            and self._place(job).workspace == first.workspace
        ]
        return min(own, key=lambda job: users[self._place(job).user].charged)

    def _charge(self, job: J, shares: dict[Priority, _Share]) -> None:
        place = self._place(job)
        of_all = shares[place.priority]
        of_all.charge(place.workspace, place.rows)
        of_all.users[place.workspace].charge(place.user, place.rows)
