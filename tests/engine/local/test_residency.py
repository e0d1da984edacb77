"""Residency: under the budget, least recently used out first, never what is busy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.local.residency import NoRoom, Residency, Resident


class Memory:
    """A machine with so much memory, of which evicted models give theirs back."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.sizes: dict[str, int] = {}
        self.evicted: list[str] = []

    def available(self) -> int:
        return self.total - sum(self.sizes.values())

    def free(self, name: str) -> None:
        self.evicted.append(name)
        del self.sizes[name]


def residency_of(budget: int, total: int = 1000) -> tuple[Residency[str], Memory]:
    memory = Memory(total)
    return Residency(budget, memory.available, memory.free), memory


def load(residency: Residency[str], memory: Memory, name: str, size: int, *busy: str) -> None:
    residency.make_room(size, busy)
    memory.sizes[name] = size
    residency.admit(name, Resident(name, size - 1, 1))


def test_the_least_recently_used_model_goes_first() -> None:
    residency, memory = residency_of(budget=100)
    for name in "abc":
        load(residency, memory, name, 30)
    residency.use("a")
    load(residency, memory, "d", 30)
    assert memory.evicted == ["b"]
    assert [name for name, _ in residency.all()] == ["c", "a", "d"]


def test_no_more_is_evicted_than_needed() -> None:
    residency, memory = residency_of(budget=100)
    for name in "abc":
        load(residency, memory, name, 30)
    load(residency, memory, "d", 40)
    assert memory.evicted == ["a"]


def test_what_does_not_fit_is_refused_with_sizes_and_nothing_is_evicted() -> None:
    residency, memory = residency_of(budget=100)
    load(residency, memory, "a", 30)
    with pytest.raises(NoRoom) as refusal:
        residency.make_room(101, [])
    assert (refusal.value.need, refusal.value.room) == (101, 100)
    assert not refusal.value.could_wait
    assert memory.evicted == []


def test_busy_models_stay_and_the_refusal_says_that_waiting_helps() -> None:
    residency, memory = residency_of(budget=100)
    load(residency, memory, "a", 60)
    with pytest.raises(NoRoom) as refusal:
        residency.make_room(50, ["a"])
    assert refusal.value.could_wait
    residency.make_room(50, [])
    assert memory.evicted == ["a"]


def test_free_memory_bounds_as_the_budget_does() -> None:
    residency, _ = residency_of(budget=100, total=20)
    with pytest.raises(NoRoom) as refusal:
        residency.make_room(21, [])
    assert refusal.value.room == 20


@pytest.mark.parametrize("busy", [[], ["b"]])
def test_models_that_took_less_than_reserved_give_back_no_more(busy: list[str]) -> None:
    residency, memory = residency_of(budget=100, total=10)
    residency.admit("a", Resident("a", 3, 5))
    memory.sizes = {"a": 3, "something else": 5}
    with pytest.raises(NoRoom) as refusal:
        residency.make_room(9, busy)
    assert (refusal.value.need, refusal.value.room) == (9, 5)
    assert refusal.value.could_wait is bool(busy)
    assert memory.evicted == ["a"]


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 120)), max_size=20),
    st.integers(1, 150),
    st.integers(1, 150),
)
def test_what_is_in_memory_never_exceeds_budget_or_machine(
    loads: list[tuple[str, int]], budget: int, total: int
) -> None:
    residency, memory = residency_of(budget, total)
    for name, size in loads:
        if residency.use(name) is None and size <= min(budget, total):
            load(residency, memory, name, size)
        elif residency.peek(name) is None:
            with pytest.raises(NoRoom):
                residency.make_room(size, [])
        assert residency.used_bytes <= min(budget, total)
        assert memory.available() >= 0
