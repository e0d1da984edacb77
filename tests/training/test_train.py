"""The training loop on a handful of rows: it learns, stops, and goes on where it stopped."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.encoding import Tokens
from training.plan import Phase
from training.train import Trainer


def _model() -> LlamaForCausalLM:
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]  (torch's stub is partial)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            tie_word_embeddings=True,
        )
    )


def _phase(steps: int) -> Phase:
    return Phase("talk", steps, 1e-2, 1e-3, warmup_steps=2, rows=2, row_tokens=8)


def _rows() -> Iterator[Tokens]:
    texts = ([1, 5, 6, 7, 8, 9, 10, 4], [1, 6, 5, 8, 7, 10, 9, 4], [1, 9, 9, 5, 5, 7, 7, 4])
    return (Tokens(list(ids), list(ids)) for ids in cycle(texts))


def test_the_rate_warms_up_and_falls_to_its_end() -> None:
    phase = _phase(100)
    assert phase.rate(0) < phase.rate(1) == phase.peak_rate
    assert abs(phase.rate(100) - phase.final_rate) < 1e-9


def test_the_loss_falls(tmp_path: Path) -> None:
    trainer = Trainer(_model(), _phase(60), tmp_path)
    trainer.run(_rows())
    losses = [loss for _, loss in trainer.progress.losses]
    assert losses[-1] < losses[0]


def test_a_stopped_run_ends_with_the_weights_of_one_that_never_stopped(tmp_path: Path) -> None:
    whole = Trainer(_model(), _phase(12), tmp_path)
    whole.run(_rows())
    (tmp_path / "talk.pt").unlink()
    stopped = Trainer(_model(), _phase(12), tmp_path)
    while stopped.progress.step < 12:
        stopped.run(_rows(), max_seconds=0.0)
        stopped = Trainer(_model(), _phase(12), tmp_path)
        stopped.resume()
    pairs = zip(whole.model.parameters(), stopped.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
