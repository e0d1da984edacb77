"""The slot cache: rows keep what they hold while room is made, and idle room takes no memory."""

import mmap
import resource
from collections.abc import Sequence

import psutil
import pytest
import torch

from bot.engine.cache import kv_cache
from bot.engine.cache.kv_cache import CAPACITY_STEP, SLOT_STEP, LayerContent, SlotCache, zeros
from bot.engine.machine.memory import MADV_POPULATE_WRITE

CPU = torch.device("cpu")
HEADS, SIZE = 2, 4


def content(length: int, value: float) -> list[LayerContent]:
    """What a slot of two layers could hold."""
    tokens = value + torch.arange(length, dtype=torch.float32)
    keys = tokens[:, None, None].expand(length, HEADS, SIZE)
    return [(keys, -keys), (keys + 0.5, -keys)]


def filled(*lengths: int) -> SlotCache:
    """A cache whose slots hold texts of these lengths."""
    cache = SlotCache(2, CPU)
    for index, length in enumerate(lengths):
        slot = cache.open()
        cache.write(slot, content(length, 1000.0 * index), length)
    return cache


def holds(cache: SlotCache, slot: int, length: int, value: float) -> bool:
    """Whether a slot holds this and no more."""
    found = [each for pair in cache.read(slot) for each in pair]
    expected = [each for pair in content(length, value) for each in pair]
    return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_rows_keep_what_they_hold_when_slots_and_capacity_grow() -> None:
    cache = filled(5, 3)
    for _ in range(SLOT_STEP):
        cache.open()
    cache.reserve(0, 3 * CAPACITY_STEP)
    assert holds(cache, 0, 5, 0)
    assert holds(cache, 1, 3, 1000)


def test_swapped_slots_hold_each_others_tokens_and_no_slot_is_opened() -> None:
    cache = filled(5, 3)
    before = cache.size_bytes
    cache.swap(0, 1)
    assert cache.lengths == [3, 5]
    assert holds(cache, 0, 3, 1000)
    assert holds(cache, 1, 5, 0)
    assert cache.size_bytes == before


def test_only_slots_that_rows_had_count() -> None:
    cache = filled(5)
    of_one = cache.size_bytes
    assert of_one == 2 * 2 * CAPACITY_STEP * HEADS * SIZE * 4
    cache.open()
    assert cache.size_bytes == 2 * of_one
    assert cache.grown(3, 5) == (3, CAPACITY_STEP)
    cache.close_from(0)
    cache.release()
    assert cache.size_bytes == 0


def test_what_is_reserved_once_is_not_copied_again() -> None:
    cache = filled(5)
    cache.reserve(0, 500)
    first = cache.layers[0]
    assert isinstance(first, kv_cache.SlotLayer)
    stored = first._stored  # pyright: ignore[reportPrivateUsage]
    for _ in range(SLOT_STEP - 1):
        cache.open()
    cache.begin([0], [400])
    assert first._stored is stored  # pyright: ignore[reportPrivateUsage]


def test_zeros_take_memory_where_they_are_written_to_alone() -> None:
    process = psutil.Process()
    like = torch.zeros((), dtype=torch.bfloat16)
    before = process.memory_info().rss
    room = zeros((64, 1 << 20), like)
    room[3, :10] = 7
    assert process.memory_info().rss - before < 16 << 20
    assert room.dtype is torch.bfloat16
    assert float(room[3].sum()) == 70
    assert float(room[2].sum()) == 0


def failing_zeros(monkeypatch: pytest.MonkeyPatch, *, after: int, most_slots: int = 0) -> None:
    """Make room fail from then on, but for so many slots at most."""
    made = 0

    def given(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        nonlocal made
        made += 1
        if made > after and shape[0] > most_slots:
            raise MemoryError
        return zeros(shape, like)

    monkeypatch.setattr(kv_cache, "zeros", given)


def fed(cache: SlotCache, slot: int, value: float) -> None:
    """Feed a slot's row its next token."""
    cache.begin([slot], [1])
    keys = torch.full((1, HEADS, 1, SIZE), value, dtype=torch.float32)
    for index, layer in enumerate(cache.layers):
        assert isinstance(layer, kv_cache.SlotLayer)
        layer.update(keys + 0.5 * index, -keys)
    cache.finish([slot], [1])


def test_after_room_could_not_be_made_rows_go_on_in_their_own_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = filled(5, 3)
    failing_zeros(monkeypatch, after=2)  # keys and values of the first layer
    with pytest.raises(MemoryError):
        cache.reserve(0, 3 * CAPACITY_STEP)
    fed(cache, 1, 1003)
    fed(cache, 0, 5)
    for slot, length, value in ((0, 6, 0.0), (1, 4, 1000.0)):
        for keys, expected in zip(cache.read(slot), content(length, value), strict=True):
            assert torch.equal(keys[0], expected[0])


def test_where_generous_room_is_refused_the_needed_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = filled(5)
    for _ in range(SLOT_STEP - 1):
        cache.open()
    failing_zeros(monkeypatch, after=0, most_slots=SLOT_STEP + 1)
    assert cache.open() == SLOT_STEP
    assert holds(cache, 0, 5, 0)
    assert cache.lengths == [5, *[0] * SLOT_STEP]


def test_memory_for_the_next_tokens_is_there_before_they_are_written() -> None:
    cache, like = SlotCache(2, torch.device("cpu")), torch.zeros((4, 1024))
    for _ in range(2):
        cache.open()
    cache.reserve(0, 1000)
    contents = cache.contents(like)
    cache.populate([0, 1, 1], [10, 3, 20])
    if not can_be_asked():
        return
    keys = contents[0][0]
    before = faults()
    with torch.inference_mode():
        keys[0, :10].fill_(1)
        keys[1, : 20 + kv_cache.POPULATED_AHEAD].fill_(1)
    assert faults() - before < 5
    with torch.inference_mode():
        keys[0, 500:510].fill_(1)
    assert faults() - before >= 10


def faults() -> int:
    """How often this thread wrote to memory that it had not yet."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


def can_be_asked() -> bool:
    """Whether the system has memory ready when it is asked for: Linux 5.14 and newer."""
    with mmap.mmap(-1, 1 << 20, access=mmap.ACCESS_COPY) as pages:
        try:
            pages.madvise(MADV_POPULATE_WRITE)
        except (OSError, AttributeError):
            return False
    return True
