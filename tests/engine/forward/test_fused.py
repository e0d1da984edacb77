"""Models computed through products and compiled kernels give what their modules give."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest
import torch

from bot.engine.base import SamplingParameters
from bot.engine.batching.batch import batch_for
from bot.engine.batching.causal import CausalBatch
from bot.engine.batching.encoder_decoder import EncoderDecoderBatch
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint import blueprint as opening
from bot.engine.checkpoint.blueprint import COMPILED_MODEL_TYPES, read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.forward.fused_causal import FusedCausal
from bot.engine.forward.fused_encoder_decoder import FusedEncoderDecoder
from bot.engine.forward.reference import Text, own_logits, wide_logits
from bot.engine.kernels.elementwise import add_norm
from bot.errors import EngineUnavailable
from config.catalogue import ModelEntry
from tests.checkpoints import TINY
from tests.engine.engines import folder_of, packed
from tests.engine.precision import MOST_TIMES_TORCH, mean_square

GREEDY = SamplingParameters(temperature=0, max_tokens=200)
NAMES = sorted(TINY)


def checkpoint_of(
    entries: Mapping[str, ModelEntry], name: str, monkeypatch: pytest.MonkeyPatch, *, packs: bool
) -> Checkpoint:
    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=packs))
    entry = entries[name]
    blueprint = read_blueprint(entry, folder_of(entry), torch.device("cpu"), exact=False)
    return load_checkpoint(blueprint, lambda _share: None)


def is_fused(batch: object) -> bool:
    assert isinstance(batch, CausalBatch | EncoderDecoderBatch)
    return isinstance(batch._pass, FusedCausal | FusedEncoderDecoder)  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True, slots=True)
class Told:
    """The logits that a row was given after a text."""

    row: Row
    text: Text
    logits: torch.Tensor


def feed(batch: SlotBatch, steps: int) -> list[Told]:
    """Step a batch, its rows saying what comes next in a circle; who got which logits."""
    size = batch.checkpoint.tokenizer.size
    told: list[Told] = []
    for step in range(steps):
        for row in batch.step():
            assert row.logits is not None
            told.append(Told(row, Text(row.source, [*row.history]), row.logits))
            row.history.append((7 * len(row.history) + step) % size)
    return told


def check(checkpoint: Checkpoint, told: Sequence[Told]) -> None:
    """No logits are farther from fp64 than twice what the modules in fp32 are, where those are
    worst in all of these texts.
    """
    own, found = 0.0, 0.0
    for each, wide in zip(told, wide_logits(checkpoint, [t.text for t in told]), strict=True):
        own = max(own, *map(mean_square, own_logits(checkpoint, each.text), wide))
        found = max(found, mean_square(each.logits, wide[-1]))
    assert found < MOST_TIMES_TORCH**2 * own


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("packs", [False, True])
def test_every_architecture_that_has_kernels_is_computed_with_them(
    entries: Mapping[str, ModelEntry], name: str, monkeypatch: pytest.MonkeyPatch, packs: bool
) -> None:
    checkpoint = checkpoint_of(entries, name, monkeypatch, packs=packs)
    assert checkpoint.blueprint.config.model_type in COMPILED_MODEL_TYPES
    assert is_fused(batch_for(checkpoint))


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_come_and_go_get_the_logits_of_their_own_text(
    entries: Mapping[str, ModelEntry], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = checkpoint_of(entries, name, monkeypatch, packs=False)
    batch = batch_for(checkpoint)
    assert isinstance(batch, SlotBatch)
    assert is_fused(batch)
    size = checkpoint.tokenizer.size
    lengths = cycle((3, 40, 7, 1, 18))
    rows = [
        Row(checkpoint, [(at * 5 + number) % size for at in range(next(lengths))], GREEDY)
        for number in range(7)
    ]
    told: list[Told] = []
    for row in rows[:4]:
        batch.join(row)
        told += feed(batch, 2)
    batch.leave(rows[1])
    batch.suspend(rows[2])
    for row in rows[4:]:
        batch.join(row)
    told += feed(batch, 3)
    batch.resume(rows[2])
    told += feed(batch, 3)
    assert {each.row for each in told} == set(rows)
    assert len(told) > 30
    check(checkpoint, told)


def test_a_prompt_is_prefilled_in_the_same_pass_as_others_decode(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engine.batching.causal.SHARED_CHUNK", 24)
    checkpoint = checkpoint_of(entries, "qwen3", monkeypatch, packs=False)
    batch = batch_for(checkpoint)
    assert isinstance(batch, CausalBatch)
    talking, long = (Row(checkpoint, [5] * length, GREEDY) for length in (4, 60))
    batch.join(talking)
    told = feed(batch, 2)
    batch.join(long)
    for _ in range(2):
        told += (step := feed(batch, 1))
        assert [each.row for each in step] == [talking]
        assert batch.fed == [talking, long]
    told += (step := feed(batch, 1))
    assert {each.row for each in step} == {talking, long}
    check(checkpoint, told)


def test_a_chat_goes_on_from_what_is_kept_of_it(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = checkpoint_of(entries, "smollm", monkeypatch, packs=False)
    batch = batch_for(checkpoint)
    assert isinstance(batch, SlotBatch)
    first = Row(checkpoint, list(range(3, 43)), GREEDY)
    batch.join(first)
    told = feed(batch, 4)
    prefix = batch.prefix(first)
    batch.leave(first)
    second = Row(checkpoint, [*first.history, *range(50, 80)], GREEDY)
    assert batch.join(second, prefix) == len(first.history) - 1
    told += (step := feed(batch, 1))
    assert [each.row for each in step] == [second]
    check(checkpoint, told)


def wrong(function: Callable[..., None]) -> Callable[..., None]:
    def call(hidden: Any, added: Any, *rest: Any) -> None:
        function(hidden, added, *rest)
        hidden *= 2

    return call


def missing(_function: Callable[..., None]) -> Callable[..., None]:
    def call(*_given: object) -> None:
        raise OSError("no such library")

    return call


@pytest.mark.parametrize("name", ["smollm", "t5"])
@pytest.mark.parametrize(
    ("break_", "reason"), [(wrong, "its logits are off by"), (missing, "OSError")]
)
def test_kernels_that_fail_or_give_something_else_are_done_without_and_it_is_logged(
    entries: Mapping[str, ModelEntry],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    break_: Callable[[Callable[..., None]], Callable[..., None]],
    reason: str,
) -> None:
    module = (
        "bot.engine.forward.fused_causal"
        if name == "smollm"
        else "bot.engine.forward.fused_encoder_decoder"
    )
    checkpoint = checkpoint_of(entries, name, monkeypatch, packs=False)
    assert is_fused(batch_for(checkpoint))
    monkeypatch.setattr(f"{module}.add_norm", break_(add_norm))
    with caplog.at_level(logging.WARNING):
        batch = batch_for(checkpoint)
    assert isinstance(batch, SlotBatch)
    assert not is_fused(batch)
    assert f"its compiled kernels failed the check ({reason}" in caplog.text


def test_a_window_far_beyond_the_table_of_rotations_is_reached(
    entries: Mapping[str, ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engine.forward.fused_causal.TURNS_STEP", 8)
    checkpoint = checkpoint_of(entries, "smollm", monkeypatch, packs=False)
    batch = batch_for(checkpoint)
    assert isinstance(batch, SlotBatch)
    batch.join(Row(checkpoint, list(range(3, 12)), GREEDY))
    told = feed(batch, 12)
    assert len(told) == 12
    check(checkpoint, told)


@pytest.mark.parametrize("name", NAMES)
def test_others_go_on_between_the_passes_of_the_self_test(
    entries: Mapping[str, ModelEntry], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = checkpoint_of(entries, name, monkeypatch, packs=False)
    passes: list[None] = []
    assert is_fused(batch_for(checkpoint, lambda: passes.append(None)))
    assert len(passes) >= 7

    def shut_down() -> None:
        raise EngineUnavailable("it shuts down")

    with pytest.raises(EngineUnavailable):
        batch_for(checkpoint, shut_down)
