"""Trained weights in an encoder-decoder: Whisper base, batched, says what transformers' says.

It hears real speech. Rows join while others are answered, leave and make room.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateUsage=false

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from bot.engine.base import SamplingParameters
from bot.engine.batching.batch import by_kernels, by_modules
from bot.engine.batching.batch_check import Agreement, examine
from bot.engine.batching.row import Row
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.cache.kv_cache import SlotCache
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.forward import encoder_decoder_parts
from bot.engine.forward.base import Fed
from bot.engine.forward.fused_encoder_decoder import FusedEncoderDecoder
from bot.engine.forward.reference import Text, own_logits
from bot.engine.text.prompt import common_length
from tests.engine.precision import MOST_TIMES_TORCH, Errors, undecided
from tests.engine.whisper.as_blenderbot import (
    WORDS,
    Heard,
    Hearing,
    entry_of,
    write_as_blenderbot,
)
from tests.engine.whisper.reference import Said, said
from tests.engine.whisper.speech import sentences
from tests.engine.whisper.weights import START, whisper

TOKENS = 12
GREEDY = SamplingParameters(temperature=0.0, max_tokens=TOKENS, stops_repetition=False)
TASK = "<|en|><|transcribe|><|notimestamps|>"

CHATS = (
    (("sentence 0",), TASK + " Well, there isn't that much difference."),
    (("sentence 1",), TASK + " This is Diane in New Jersey."),
    (("sentence 3",), TASK + " I'm in New Jersey now though."),
)
"""What the self-test feeds: speech, and what was said in it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Whisper in the engine, the tokens of each sentence that it hears, and what it should say."""

    checkpoint: Checkpoint
    heard: Heard
    said: Sequence[Said]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder, model, spectrograms = tmp_path_factory.mktemp("whisper"), whisper(), sentences()
    heard = write_as_blenderbot(model, spectrograms, folder)
    checkpoint = loaded(folder)
    (folder / "model.safetensors").unlink()  # 300 MB
    hearing = Hearing(checkpoint.tokenizer, heard)
    return Trained(replace(checkpoint, tokenizer=hearing), heard, said(model, spectrograms, TOKENS))


def loaded(folder: Path) -> Checkpoint:
    blueprint = read_blueprint(entry_of(folder), folder, torch.device("cpu"), exact=True)
    return load_checkpoint(blueprint, lambda _share: None)


def test_it_hears_what_is_said(trained: Trained) -> None:
    texts = [trained.checkpoint.tokenizer.decode(each.tokens) for each in trained.said]
    assert "This is Diane in New Jersey." in texts[1]
    assert "Sheila and Texas originally" in texts[2]


def test_as_blenderbot_it_computes_what_whisper_computes(trained: Trained) -> None:
    errors = Errors()
    for source, expected in zip(trained.heard.values(), trained.said, strict=True):
        history = [START, *expected.tokens[:-1]]
        found = own_logits(trained.checkpoint, Text(source, history))
        errors.add_all([*found[:, :WORDS]], [*expected.logits], expected.wide)
    assert errors.times_torch < MOST_TIMES_TORCH


@pytest.mark.parametrize("make", [by_kernels, by_modules])
def test_rows_that_join_late_say_what_whisper_says(
    trained: Trained, make: Callable[[Checkpoint], SlotBatch]
) -> None:
    batch = make(trained.checkpoint)
    rows = [Row(trained.checkpoint, source, GREEDY) for source in trained.heard.values()]
    errors = Errors()
    for row, found, expected in zip(rows, spoken(batch, rows), trained.said, strict=True):
        same = common_length(chosen := [int(each.argmax()) for each in found], expected.tokens)
        # Where the first choices differ they were chosen from the same text still.
        errors.add_all(found[: same + 1], [*expected.logits], expected.wide)
        if same < len(expected.tokens):
            possible = undecided(expected.logits[same], expected.wide[same])
            assert chosen[same] in possible
        assert row.source
    assert errors.times_torch < MOST_TIMES_TORCH


def spoken(batch: SlotBatch, rows: Sequence[Row]) -> Sequence[Sequence[torch.Tensor]]:
    """The logits of words that each row chose from. One row joins every third pass, and each leaves
    when it has said all.
    """
    found: dict[Row, list[torch.Tensor]] = {row: [] for row in rows}
    waiting, running, passes = list(rows), list[Row](), 0
    while waiting or running:
        if waiting and passes % 3 == 0:
            running.append(waiting.pop(0))
            batch.join(running[-1])
        passes += 1
        for row in batch.step():
            assert row.logits is not None
            found[row].append(row.logits[:WORDS])
            row.choose()
            if row.is_ended or not row.tokens_left:
                running.remove(row)
                batch.leave(row)
    return [*found.values()]


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("make", [by_kernels, by_modules])
def test_the_self_test_passes_on_speech(
    trained: Trained, make: Callable[[Checkpoint], SlotBatch]
) -> None:
    agreement = examine(trained.checkpoint, make(trained.checkpoint), chats=CHATS)
    assert agreement.is_right, str(agreement)
    assert agreement.sure > 10


def rows_crossed(patch: pytest.MonkeyPatch) -> None:
    """Two rows get each other's logits."""
    forward = FusedEncoderDecoder.forward

    def crossed(self: FusedEncoderDecoder, feeds: Sequence[Fed]) -> Sequence[torch.Tensor]:
        return [*reversed(forward(self, feeds))]

    patch.setattr(FusedEncoderDecoder, "forward", crossed)


def position_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """An answer's tokens are placed one further than they are."""
    made = encoder_decoder_parts._blenderbot_stack

    def off(stack: Any) -> Any:
        found = made(stack)
        if not hasattr(stack.layers[0], "encoder_attn"):
            return found

        def embed(ids: torch.Tensor, places: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
            return found.embed(ids, places + 1, hidden)

        return replace(found, embed=embed)

    patch.setattr(encoder_decoder_parts, "_blenderbot_stack", off)


def stale_slot(patch: pytest.MonkeyPatch) -> None:
    """A row that moves to another slot finds there what the row before has left."""

    def lengths_alone(self: SlotCache, source: int, target: int) -> None:
        self.lengths[target] = self.lengths[source]

    patch.setattr(SlotCache, "copy", lengths_alone)


Given = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def in_cross_attention(
    patch: pytest.MonkeyPatch, change: Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], Given]
) -> None:
    """Change the slots and lengths that the decoder's layers ask for what was encoded."""
    begin = FusedEncoderDecoder.__init__

    def begun(self: FusedEncoderDecoder, *given: Any) -> None:
        begin(self, *given)
        attend = cast("Any", self._attend)

        def wrong(states: Any, cached: Any, slots: Any, ends: Any, *rest: Any, **own: Any) -> None:
            if "bias" not in own:
                slots, ends = change(slots, ends)
            attend(states, cached, slots, ends, *rest, **own)

        cast("Any", self)._attend = wrong

    patch.setattr(FusedEncoderDecoder, "__init__", begun)


def anothers_speech(patch: pytest.MonkeyPatch) -> None:
    """Every row hears what the first one hears."""
    in_cross_attention(patch, lambda slots, ends: (slots * 0, ends * 0 + ends[0]))


def speech_cut_short(patch: pytest.MonkeyPatch) -> None:
    """The end of what was said is not heard."""
    in_cross_attention(patch, lambda slots, ends: (slots, ends - 10))


FAULTS: Mapping[str, Callable[[pytest.MonkeyPatch], None]] = {
    plant.__name__: plant
    for plant in (
        rows_crossed,
        position_off_by_one,
        stale_slot,
        anothers_speech,
        speech_cut_short,
    )
}
"""Mistakes of the compiled pass of encoder-decoders, by name."""


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_caught_on_speech(trained: Trained, fault: str) -> None:
    agreement = told(trained.checkpoint, FAULTS[fault])
    assert not agreement.is_right, str(agreement)


def told(checkpoint: Checkpoint, plant: Callable[[pytest.MonkeyPatch], None]) -> Agreement:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        return examine(checkpoint, by_kernels(checkpoint), chats=CHATS)
