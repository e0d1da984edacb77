"""Which models are proposed on machines of several sizes and speeds."""

import pytest

from bot.engine.failures import GIB
from bot.models.proposals import FAST_ENOUGH, Machine, fits, proposals, read_bytes
from config.catalogue import Catalogue
from config.owner_models import OwnerModel, catalogue_with

CATALOGUE = Catalogue.load()


def machine(memory_gb: float, bytes_per_s: float) -> Machine:
    """A little less than half of the memory may be taken."""
    return Machine(int(memory_gb * GIB), int(0.45 * memory_gb * GIB), bytes_per_s)


def names(memory_gb: float, bytes_per_s: float, **speeds: float) -> list[str]:
    found = proposals(CATALOGUE, machine(memory_gb, bytes_per_s), speeds)
    return [one.entry.name for one in found]


@pytest.mark.parametrize(
    ("memory_gb", "bytes_per_s", "expected"),
    [
        # Two old cores: 8 tokens/s leave 600 MB a token, and what is larger is the last choice.
        (8, 8e9, ["smollm2-135m", "smollm2", "smollm2-360m"]),
        (8, 20e9, ["qwen2.5-1.5b-4bit", "qwen3-0.6b", "qwen2.5-0.5b"]),
        # As fast, and more memory: the speed decides.
        (64, 20e9, ["qwen2.5-1.5b-4bit", "qwen3-0.6b", "qwen2.5-0.5b"]),
        # As little memory, and faster: the memory decides.
        (4, 300e9, ["qwen2.5-0.5b", "smollm2-360m", "smollm2-135m"]),
        (64, 300e9, ["qwen3-8b-4bit", "qwen3-4b", "smollm3-3b"]),
        (1, 20e9, []),
    ],
)
def test_the_best_that_fits_and_is_fast_enough_goes_first(
    memory_gb: int, bytes_per_s: float, expected: list[str]
) -> None:
    assert names(memory_gb, bytes_per_s) == expected


@pytest.mark.parametrize("memory_gb", [4, 8, 12, 64])
@pytest.mark.parametrize("bytes_per_s", [5e9, 20e9, 80e9, 400e9])
def test_every_proposal_fits_and_the_first_is_fast_if_any_is(
    memory_gb: int, bytes_per_s: float
) -> None:
    here = machine(memory_gb, bytes_per_s)
    first, *_others = found = proposals(CATALOGUE, here, {})
    assert len(found) == 3
    for one in found:
        assert fits(one.entry.fits_gb or 0, here.memory_bytes)
        assert read_bytes(one.entry) < here.budget_bytes
    smallest = min(read_bytes(one) for one in CATALOGUE if one.has_system_prompt)
    is_any_fast = here.tokens_per_s(smallest) >= FAST_ENOUGH
    assert (first.tokens_per_s >= FAST_ENOUGH) is is_any_fast


def test_a_speed_that_was_measured_goes_before_the_estimate() -> None:
    slow = {"qwen2.5-1.5b-4bit": 3.0}
    found = proposals(CATALOGUE, machine(8, 20e9), slow)
    assert [one.entry.name for one in found] == ["qwen3-0.6b", "qwen2.5-0.5b", "smollm2-360m"]


def test_what_a_server_runs_is_not_for_this_machine_to_propose() -> None:
    table = {"engine": "openai", "endpoints": ["http://127.0.0.1:8000/v1"]}
    catalogue = catalogue_with({"qwen3-8b-4bit": OwnerModel.model_validate(table)})
    assert "qwen3-8b-4bit" not in [
        one.entry.name for one in proposals(catalogue, machine(64, 300e9), {})
    ]
