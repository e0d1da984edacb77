"""The self-test tells right from wrong: on trained weights, and on random ones with outliers."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pytest
import torch

from bot.engine.batching.batch import by_kernels, by_modules
from bot.engine.batching.batch_check import Agreement, examine
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint import blueprint as opening
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.forward.base import Fed
from bot.engine.forward.fused_causal import FusedCausal
from config.catalogue import ModelEntry
from tests.checkpoints import TINY, Spread
from tests.engine.batching.chat_prompts import chats
from tests.engine.batching.planted_faults import IN_KERNELS
from tests.engine.engines import load_tensors, packed, save_tensors
from tests.real_weights import smollm2_entry

pytestmark = pytest.mark.timeout(600)
"""Trained weights take their time on a busy machine."""

CHATS = int(os.environ.get("SELF_TEST_CHATS", "3"))
"""How many chats must raise no false alarm; 200 with `make fuzz`."""

OUTLIERS = (3, 17)
"""Channels of the random models that are as large as trained models have some."""

LARGER = 40.0
"""So much larger they are than others."""

FED_BY_NORM = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}


@pytest.fixture(scope="module")
def smollm2() -> Checkpoint:
    """Trained weights, in bf16 as they are where it is fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "is_packed_faster", packed(if_any=True))
        return loaded(smollm2_entry())


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def with_outliers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    """Random weights with outlier channels, in bf16."""
    folder = tmp_path_factory.mktemp("outliers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "is_packed_faster", packed(if_any=True))
        patch.setattr(Spread, "of", small_embeddings)
        TINY[request.param].make(folder)
        enlarge_channels(folder / "model.safetensors")
        return loaded(TINY[request.param].entry(folder))


def small_embeddings(_spread: Spread, name: str, columns: int) -> float:
    """How wide weights are drawn: embeddings as narrow as trained ones, so that a norm's epsilon
    counts.
    """
    return 0.05 if "embed" in name else 1.5 * columns**-0.5


def loaded(entry: ModelEntry) -> Checkpoint:
    assert entry.folder is not None
    blueprint = read_blueprint(entry, entry.folder, torch.device("cpu"), exact=False)
    return load_checkpoint(blueprint, lambda _share: None)


def enlarge_channels(file: Path) -> None:
    """Scale a few weights of each norm up and the columns that they meet down: the function is the
    same.
    """
    tensors = load_tensors(file)
    for name, weight in tensors.items():
        before, _, norm = name.removesuffix(".weight").rpartition(".")
        for fed in FED_BY_NORM.get(norm, ()):
            tensors[f"{before}.{fed}.weight"][:, OUTLIERS] /= LARGER
        if norm in FED_BY_NORM:
            weight[[*OUTLIERS]] *= LARGER
    save_tensors(tensors, file)


def told(checkpoint: Checkpoint, plant: Callable[[pytest.MonkeyPatch], None]) -> Agreement:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        return examine(checkpoint, by_kernels(checkpoint))


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("fault", IN_KERNELS)
def test_every_planted_fault_is_caught_on_trained_weights(smollm2: Checkpoint, fault: str) -> None:
    agreement = told(smollm2, IN_KERNELS[fault])
    assert not agreement.is_right, str(agreement)


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("fault", IN_KERNELS)
def test_every_planted_fault_is_caught_beside_outlier_channels(
    with_outliers: Checkpoint, fault: str
) -> None:
    agreement = told(with_outliers, IN_KERNELS[fault])
    assert not agreement.is_right, str(agreement)


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("make", [by_kernels, by_modules])
def test_what_is_right_passes_on_trained_weights(
    smollm2: Checkpoint, make: Callable[[Checkpoint], SlotBatch]
) -> None:
    agreement = examine(smollm2, make(smollm2))
    assert agreement.is_right, str(agreement)
    assert agreement.sure > 10


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("make", [by_kernels, by_modules])
def test_what_is_right_passes_beside_outlier_channels(
    with_outliers: Checkpoint, make: Callable[[Checkpoint], SlotBatch]
) -> None:
    agreement = examine(with_outliers, make(with_outliers))
    assert agreement.is_right, str(agreement)


@pytest.mark.timeout(3600)
def test_no_chat_raises_a_false_alarm(smollm2: Checkpoint) -> None:
    batch = by_kernels(smollm2)
    alarms: list[str] = []
    for number, three in enumerate(islice(chats(), -(-CHATS // 3))):
        agreement = examine(smollm2, batch, chats=three)
        if not agreement.is_right:
            alarms.append(f"{number}: {agreement}")
    assert not alarms


def test_a_batch_that_gives_what_is_no_number_is_wrong(with_outliers: Checkpoint) -> None:
    forward = FusedCausal.forward

    def spoilt(self: FusedCausal, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        return [logits * float("nan") for logits in forward(self, feeds)]

    agreement = told(with_outliers, lambda patch: patch.setattr(FusedCausal, "forward", spoilt))
    assert not agreement.is_right
