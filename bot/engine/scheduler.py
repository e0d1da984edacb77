"""Who generates and who waits: fair over workspaces, then users (pure, no torch).

It holds no text and steps nothing: jobs are opaque to it.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from bot.engine.base import Priority
from bot.errors import Busy
from bot.translations import gettext as _

J = TypeVar("J")
_Users = OrderedDict[str, deque[J]]


@dataclass(frozen=True, slots=True)
class _Place:
    workspace: str
    user: str
    priority: Priority
    rows: int


class Scheduler(Generic[J]):
    """Bounded waiting places and a bounded number of rows that generate at once.

    Waiting jobs are taken by priority, then workspaces in turn, then the users of a workspace in
    turn, then in order of arrival. Whoever was taken goes to the end of the turn.
    """

    def __init__(self, max_waiting: int, max_rows: int) -> None:
        self._max_waiting = max_waiting
        self._max_rows = max_rows
        self._queues: dict[Priority, OrderedDict[str, _Users[J]]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._places: dict[int, _Place] = {}
        self._active: deque[J] = deque()

    @property
    def max_rows(self) -> int:
        """The most rows that generate at once."""
        return self._max_rows

    def submit(
        self, job: J, fairness_key: tuple[str, str], priority: Priority, rows: int = 1
    ) -> None:
        """Let a job wait for its turn; it will take `rows` rows. Raises `Busy` when full."""
        if self.waiting_count >= self._max_waiting:
            raise Busy(
                _("Too many questions are waiting ({count}). Try again in a moment.").format(
                    count=self.waiting_count
                )
            )
        workspace, user = fairness_key
        users = self._queues[priority].setdefault(workspace, OrderedDict())
        users.setdefault(user, deque()).append(job)
        self._places[id(job)] = _Place(workspace, user, priority, min(rows, self._max_rows))

    @property
    def waiting_count(self) -> int:
        """How many jobs wait."""
        return len(self._places) - len(self._active)

    @property
    def active_rows(self) -> int:
        """How many rows generate."""
        return sum(self._places[id(job)].rows for job in self._active)

    def waiting(self) -> Iterator[J]:
        """The waiting jobs."""
        for workspaces in self._queues.values():
            for users in workspaces.values():
                for jobs in users.values():
                    yield from jobs

    def active(self) -> tuple[J, ...]:
        """The generating jobs, in the order in which they were admitted."""
        return tuple(self._active)

    def head(self) -> J | None:
        """The job whose turn it is, if its rows fit; it stays the head until it is admitted."""
        for workspaces in self._queues.values():
            for users in workspaces.values():
                job = next(iter(users.values()))[0]
                rows = self._places[id(job)].rows
                return job if self.active_rows + rows <= self._max_rows else None
        return None

    def admit(self, job: J) -> None:
        """Let the head generate."""
        place = self._leave_queue(job)
        workspaces = self._queues[place.priority]
        if place.workspace in workspaces:
            workspaces.move_to_end(place.workspace)
            if place.user in workspaces[place.workspace]:
                workspaces[place.workspace].move_to_end(place.user)
        self._active.append(job)

    def remove(self, job: J) -> None:
        """Forget a job, waiting or generating; unknown ones are ignored."""
        if id(job) not in self._places:
            return
        if any(job is other for other in self._active):
            self._active = deque(other for other in self._active if other is not job)
        else:
            self._leave_queue(job)
        del self._places[id(job)]

    def _leave_queue(self, job: J) -> _Place:
        place = self._places[id(job)]
        workspaces = self._queues[place.priority]
        users = workspaces[place.workspace]
        users[place.user] = deque(other for other in users[place.user] if other is not job)
        if not users[place.user]:
            del users[place.user]
        if not users:
            del workspaces[place.workspace]
        return place
