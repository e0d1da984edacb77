"""How many cores other programs leave: by a clock and counters of the test."""

from pathlib import Path

import pytest

from bot.engine.machine.cores import CHECK_S, SpareCores, busy_seconds, core_quota


class Machine:
    """A machine whose clock and counters the test moves."""

    def __init__(self) -> None:
        self.now_s, self.busy_s, self.own_s = 100.0, 5000.0, 70.0
        self.looks = 0

    def busy(self) -> float:
        self.looks += 1
        return self.busy_s

    def run(self, seconds: float, *, own: float, others: float) -> None:
        """Let time pass, with so many cores busy with this process and with others."""
        self.now_s += seconds
        self.own_s += own * seconds
        self.busy_s += (own + others) * seconds


@pytest.fixture(name="machine")
def machine_fixture() -> Machine:
    return Machine()


def spare(machine: Machine, cores: int) -> SpareCores:
    return SpareCores(cores, lambda: machine.now_s, machine.busy, lambda: machine.own_s)


@pytest.mark.parametrize(
    ("cores", "others", "left"),
    [(2, 0.0, 2), (2, 0.4, 2), (2, 0.6, 1), (2, 2.0, 1), (8, 3.0, 5), (8, 9.0, 1), (1, 0.9, 1)],
)
def test_what_others_use_is_left_to_them(
    machine: Machine, cores: int, others: float, left: int
) -> None:
    cores_left = spare(machine, cores)
    assert cores_left.count == cores
    machine.run(1.0, own=1.5, others=others)
    assert cores_left.count == left


def test_its_own_work_takes_nothing_away(machine: Machine) -> None:
    cores_left = spare(machine, 4)
    assert cores_left.count == 4
    machine.run(1.0, own=4.0, others=0.0)
    assert cores_left.count == 4


def test_a_neighbour_that_ended_gives_its_cores_back(machine: Machine) -> None:
    cores_left = spare(machine, 2)
    counted = [cores_left.count]
    for others in (2.0, 0.0):
        machine.run(1.0, own=1.0, others=others)
        counted.append(cores_left.count)
    assert counted == [2, 1, 2]


def test_the_counters_are_read_from_time_to_time_alone(machine: Machine) -> None:
    cores_left = spare(machine, 2)
    for _ in range(10):
        machine.run(CHECK_S / 5, own=1.0, others=0.0)
        assert cores_left.count == 2
    assert machine.looks == 2


def test_the_machines_own_counter_goes_up_with_work() -> None:
    before = busy_seconds()
    while busy_seconds() == before:
        sum(range(10_000))
    assert busy_seconds() > before > 0


@pytest.mark.parametrize(
    ("contents", "cores"),
    [
        (["200000 100000\n"], 2),
        (["150000 100000\n"], 1),
        (["50000 100000\n"], 1),
        (["max 100000\n"], None),
        (["400000\n", "100000\n"], 4),
        (["-1\n", "100000\n"], None),
        ([], None),
    ],
)
def test_a_containers_limit_is_kept(tmp_path: Path, contents: list[str], cores: int | None) -> None:
    files = [tmp_path / f"limit-{index}" for index in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(content)
    missing = [str(tmp_path / "missing")]
    assert core_quota([missing, [str(file) for file in files]]) == cores
