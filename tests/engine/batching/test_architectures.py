"""Every architecture that is said to be answered together is, windows and all."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' constructors are only partly typed.

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import transformers

from bot.engine.batching.batch import batch_for, by_modules, tried_out
from bot.engine.batching.batch_check import examine
from bot.engine.batching.causal import CausalBatch
from bot.engine.batching.one_by_one import OneByOne
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.checkpoint.blueprint import COMPILED_MODEL_TYPES, read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.forward.fused_causal import FusedCausal
from bot.engine.forward.padded_causal import PaddedCausal
from bot.engine.kernels.packing import PackedLinear
from bot.engine.machine.kernel_switch import KERNEL_SWITCH
from bot.engine.run_mode import Cause, Reason
from bot.engine.text.families import BATCHED_MODEL_TYPES
from tests.checkpoints import TINY
from tests.engine.engines import packed

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

WINDOW: dict[str, Mapping[str, object]] = {
    "mistral": {"sliding_window": 4},
    "phi3": {"sliding_window": 4},
    "starcoder2": {"sliding_window": 4},
    "gemma2": {"sliding_window": 4},
    "gemma3_text": {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "qwen2": {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 1},
    "qwen3": {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 1},
}
"""Windows shorter than what the self-test feeds, so that a wrong mask shows."""


def checkpoint_of(
    model_type: str,
    options: Mapping[str, object],
    smollm: Path,
    folder: Path,
    *,
    exact: bool = True,
) -> Checkpoint:
    shutil.copytree(smollm, folder)
    (folder / "model.safetensors").unlink()
    make = cast("Any", transformers)
    entry = TINY["smollm"].entry(folder)
    tokenizer = make.AutoTokenizer.from_pretrained(folder)
    settings = {**SMALL, "vocab_size": len(tokenizer), **options}
    config = make.AutoConfig.for_model(model_type, **settings)
    torch.manual_seed(5)
    model = make.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(0, 3 * weight.shape[1] ** -0.5)
    model.save_pretrained(folder)
    blueprint = read_blueprint(entry, folder, torch.device("cpu"), exact=exact)
    return load_checkpoint(blueprint, lambda _fraction: None)


CAUSAL = sorted(BATCHED_MODEL_TYPES - {"t5", "blenderbot"})


@pytest.mark.parametrize("model_type", CAUSAL)
def test_rows_of_a_known_architecture_go_through_it_together(
    checkpoints: Mapping[str, Path], tmp_path: Path, model_type: str
) -> None:
    checkpoint = checkpoint_of(model_type, {}, checkpoints["smollm"], tmp_path / "model")
    assert isinstance(batch_for(checkpoint), SlotBatch)


@pytest.mark.parametrize("model_type", WINDOW)
def test_rows_see_no_further_than_their_architectures_window(
    checkpoints: Mapping[str, Path], tmp_path: Path, model_type: str
) -> None:
    options = WINDOW[model_type]
    checkpoint = checkpoint_of(model_type, options, checkpoints["smollm"], tmp_path / "model")
    batch = by_modules(checkpoint)
    assert isinstance(batch, CausalBatch)
    assert examine(checkpoint, batch).is_right
    # The test can fail: without the window it does.
    forward = batch._pass  # pyright: ignore[reportPrivateUsage]
    assert isinstance(forward, PaddedCausal)
    forward._window = None  # pyright: ignore[reportPrivateUsage]
    assert not examine(checkpoint, batch).is_right


@pytest.mark.parametrize("model_type", sorted(COMPILED_MODEL_TYPES & set(CAUSAL)))
def test_compiled_kernels_see_no_further_than_their_architectures_window(
    checkpoints: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_type: str,
) -> None:
    monkeypatch.setattr("bot.engine.checkpoint.blueprint.is_packed_faster", packed(if_any=False))
    smollm, options = checkpoints["smollm"], WINDOW.get(model_type, {})
    checkpoint = checkpoint_of(model_type, options, smollm, tmp_path / "model", exact=False)
    batch = batch_for(checkpoint)
    assert isinstance(batch, CausalBatch)
    forward = batch._pass  # pyright: ignore[reportPrivateUsage]
    assert isinstance(forward, FusedCausal)
    layers = forward._layers  # pyright: ignore[reportPrivateUsage]
    forward._layers = [replace(layer, window=3) for layer in layers]  # pyright: ignore[reportPrivateUsage]
    forward._windows = {3}  # pyright: ignore[reportPrivateUsage]
    assert not examine(checkpoint, batch).is_right


def test_an_unknown_architecture_answers_one_question_at_a_time(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    options = {"n_positions": 256, "n_embd": 64, "n_layer": 2, "n_head": 4}
    checkpoint = checkpoint_of("gpt2", options, checkpoints["smollm"], tmp_path / "model")
    batch, mode = tried_out(checkpoint)
    assert isinstance(batch, OneByOne)
    assert not mode.is_batched
    assert mode.fallbacks == (Reason(Cause.UNKNOWN_ARCHITECTURE, "gpt2"),)


def test_positions_that_scale_with_the_length_seen_keep_rows_apart(
    checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    scaled = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}
    checkpoint = checkpoint_of("llama", scaled, checkpoints["smollm"], tmp_path / "model")
    batch, mode = tried_out(checkpoint)
    assert isinstance(batch, OneByOne)
    assert mode.fallbacks == (Reason(Cause.GROWING_POSITIONS),)


def test_a_model_that_disagrees_with_its_batch_answers_one_question_at_a_time(
    checkpoints: Mapping[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("bot.engine.checkpoint.blueprint.COMPILED_MODEL_TYPES", frozenset[str]())
    checkpoint = checkpoint_of("llama", {}, checkpoints["smollm"], tmp_path / "model")
    monkeypatch.setattr(
        "bot.engine.cache.kv_cache.Pass.position_ids", property(lambda self: self.positions * 0)
    )
    batch, mode = tried_out(checkpoint)
    assert isinstance(batch, OneByOne)
    assert "its logits are off by" in caplog.text
    assert [reason.cause for reason in mode.fallbacks] == [Cause.BATCH_REFUSED]
    assert "its batch failed the check (its logits are off by" in mode.text


def test_kernels_that_do_not_work_are_done_without_and_the_mode_says_why(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = checkpoint_of("llama", {}, checkpoints["smollm"], tmp_path / "model")
    batch, mode = tried_out(checkpoint)
    assert isinstance(batch, SlotBatch)
    assert (mode.is_batched, mode.has_kernels, mode.reasons) == (True, True, ())

    def broken(*_given: object) -> None:
        raise ImportError("numba")

    monkeypatch.setattr("bot.engine.forward.fused_causal.FusedCausal.__init__", broken)
    batch, mode = tried_out(checkpoint)
    assert isinstance(batch, SlotBatch)
    assert (mode.is_batched, mode.has_kernels) == (True, False)
    assert mode.fallbacks == (Reason(Cause.KERNELS_REFUSED, "ImportError"),)


def test_switched_off_no_kernel_is_used_and_the_mode_says_so(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KERNEL_SWITCH, "off")
    checkpoint = checkpoint_of("llama", {}, checkpoints["smollm"], tmp_path / "model", exact=False)
    batch, mode = tried_out(checkpoint)
    assert isinstance(batch, SlotBatch)
    assert (mode.is_batched, mode.has_kernels) == (True, False)
    assert mode.fallbacks == (Reason(Cause.SWITCHED_OFF, KERNEL_SWITCH),)
    assert not any(isinstance(layer, PackedLinear) for layer in checkpoint.model.modules())
    monkeypatch.setenv(KERNEL_SWITCH, "on")
    assert checkpoint.blueprint.is_compiled


def disagreeing(_pack: object, _layers: object) -> bool:
    """What a check says that fails."""
    return False


def test_layers_that_could_not_be_packed_are_a_fallback(
    checkpoints: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engine.checkpoint.blueprint.is_packed_faster", packed(if_any=True))
    monkeypatch.setattr("bot.engine.kernels.packing._agrees", disagreeing)
    checkpoint = checkpoint_of("llama", {}, checkpoints["smollm"], tmp_path / "model")
    assert Reason(Cause.LAYERS_UNPACKED) in tried_out(checkpoint)[1].fallbacks
