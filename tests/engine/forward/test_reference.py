"""What a model's error is measured by: its own modules, one precision wider."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from typing import Any, cast

import pytest
import torch

from bot.engine.checkpoint import blueprint as opening
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.checkpoint.quantization import QuantizedLinear
from bot.engine.forward.reference import Text, own_logits, wide_logits
from config.catalogue import ModelEntry
from tests.checkpoints import TINY
from tests.engine.engines import folder_of, packed


def loaded(entry: ModelEntry, *, exact: bool) -> Checkpoint:
    blueprint = read_blueprint(entry, folder_of(entry), torch.device("cpu"), exact=exact)
    return load_checkpoint(blueprint, lambda _share: None)


def texts(checkpoint: Checkpoint) -> list[Text]:
    """Two of different lengths."""
    is_causal = checkpoint.start_id is None
    histories = [[9, 40, 7, 21, 33, 8, 50], [12, 5, 61]]
    return [Text(() if is_causal else [17, 6, *own], own) for own in histories]


def widened(checkpoint: Checkpoint, text: Text, dtype: torch.dtype) -> torch.Tensor:
    """transformers' own model, its weights as this one's, in another precision."""
    folder = checkpoint.blueprint.folder
    model = cast("Any", type(checkpoint.model)).from_pretrained(
        folder, dtype=checkpoint.blueprint.dtype
    )
    given = {"input_ids": torch.tensor([text.history])}
    if text.source:
        given = {"input_ids": torch.tensor([text.source]), "decoder_input_ids": given["input_ids"]}
    with torch.inference_mode():
        return model.eval().to(dtype)(**given).logits[0]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("exact", [True, False])
def test_wide_logits_are_those_of_a_wider_copy_of_the_model(
    entries: Mapping[str, ModelEntry], name: str, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "is_packed_faster", packed(if_any=True))
    checkpoint = loaded(entries[name], exact=exact)
    wide = torch.float64 if exact else torch.float32
    given = texts(checkpoint)
    layers: list[None] = []
    found = wide_logits(checkpoint, given, lambda: layers.append(None))
    assert len(layers) > 5
    for text, logits in zip(given, found, strict=True):
        assert logits.dtype is wide
        expected = widened(checkpoint, text, wide)
        # transformers' norms compute in fp32 even where all else is fp64.
        assert distance(logits, expected) < 1000 * torch.finfo(torch.float32).eps
        (alone,) = wide_logits(checkpoint, [text])
        assert distance(logits, alone) < 1000 * torch.finfo(wide).eps
        assert own_logits(checkpoint, text).dtype is checkpoint.blueprint.dtype


@pytest.mark.parametrize("bits", [4, 8])
def test_reduced_weights_are_widened_as_they_are(
    entries: Mapping[str, ModelEntry], bits: int
) -> None:
    entry = entries["llama"].model_copy(update={"weight_bits": bits})
    checkpoint = loaded(entry, exact=True)
    layers = [each for each in checkpoint.model.modules() if isinstance(each, QuantizedLinear)]
    for layer in layers:
        unpacked = torch.cat([*layer.weights()])
        rows = torch.eye(unpacked.shape[1])
        torch.testing.assert_close(layer.unpacked(rows).T, unpacked, atol=1e-5, rtol=1e-5)
    assert layers
    text = texts(checkpoint)[0]
    (found,), expected = wide_logits(checkpoint, [text]), own_logits(checkpoint, text)
    # What fp32 rounds, made larger by two layers that are drawn wide.
    assert distance(found, expected) < 1e-3
    assert not torch.equal(found.float(), expected)
