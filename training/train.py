"""The training loop: seeded, checkpointed, and resumed where it stopped.

A checkpoint holds weights, optimizers, step and losses. A resumed run reads the same rows in
the same order as one that was never stopped.

The matrices of the layers are trained by Muon (Jordan and others, 2024), which needed less than
half the tokens that AdamW needed to the same loss here; embeddings and norms by AdamW.
"""
# pyright: reportUnknownMemberType=false
# The stubs of torch and transformers are partial.

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as functional
from transformers import LlamaForCausalLM

from training.device import mixed_precision, pick_device
from training.encoding import IGNORED, Tokens, batches
from training.plan import Phase

# Muon's steps have a fixed size; this many times AdamW's rate suits a phase's rates.
MUON_RATE_RATIO = 10.0
CHECKPOINT_EVERY_S = 120.0
REPORT_EVERY_STEPS = 20


@dataclass(slots=True)
class Progress:
    """Where a phase stands; `losses` holds (step, mean loss since the last entry)."""

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])


class Trainer:
    """One phase over one model; `run` trains to the end of the phase or of `max_seconds`."""

    def __init__(self, model: LlamaForCausalLM, phase: Phase, work: Path) -> None:
        self.device = pick_device()
        self.model = model
        torch.nn.Module.to(model, self.device)
        model.train()
        self.phase = phase
        self.progress = Progress()
        self._checkpoint = work / f"{phase.name}.pt"
        self._log = work / f"{phase.name}.json"
        self._optimizers = _optimizers(model, phase.weight_decay)

    def resume(self) -> None:
        """Load the checkpoint of this phase, if there is one."""
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, values in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        losses = [(int(step), float(loss)) for step, loss in state["losses"]]
        self.progress = Progress(state["step"], state["seconds"], losses)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and the losses as JSON."""
        progress = self.progress
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "step": progress.step,
            "seconds": progress.seconds,
            "losses": progress.losses,
        }
        part = self._checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._checkpoint)
        self._log.write_text(json.dumps(self.summary()), encoding="utf-8")

    def summary(self) -> dict[str, object]:
        """What the report needs to know of the phase."""
        return {
            "phase": self.phase.name,
            "steps": self.progress.step,
            "tokens": self.progress.step * self.phase.batch_tokens,
            "minutes": round(self.progress.seconds / 60, 1),
            "losses": self.progress.losses,
        }

    def run(self, rows: Iterator[Tokens], max_seconds: float | None = None) -> None:
        """Train; rows already seen before a stop are skipped."""
        done = self.progress.step
        source = islice(batches(rows, self.phase.rows), done, self.phase.steps)
        started = saved = reported = time.monotonic()
        losses: list[float] = []
        for ids, targets in source:
            losses.append(self._step(torch.tensor(ids), torch.tensor(targets)))
            now = time.monotonic()
            self.progress.seconds += now - reported
            reported = now
            if self.progress.step % REPORT_EVERY_STEPS == 0:
                self._report(losses)
                losses.clear()
            if now - saved > CHECKPOINT_EVERY_S:
                self.save()
                saved = now
            if max_seconds is not None and now - started > max_seconds:
                break
        self.save()

    def _step(self, ids: torch.Tensor, targets: torch.Tensor) -> float:
        rate = self.phase.rate(self.progress.step)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate_ratio"]
        loss = self._loss(ids.to(self.device), targets.to(self.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        self.model.zero_grad()
        self.progress.step += 1
        return loss.item()

    def _loss(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with mixed_precision(self.device):
            logits = self.model(input_ids=ids[:, :-1], use_cache=False).logits
        return functional.cross_entropy(
            logits.float().flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORED
        )

    def _report(self, losses: list[float]) -> None:
        mean = sum(losses) / len(losses)
        progress = self.progress
        progress.losses.append((progress.step, round(mean, 4)))
        tokens = progress.step * self.phase.batch_tokens
        print(
            f"{self.phase.name} {progress.step}/{self.phase.steps} loss {mean:.3f} "
            f"{tokens / progress.seconds:.0f} tokens/s",
            flush=True,
        )


def _optimizers(model: LlamaForCausalLM, decay: float) -> list[torch.optim.Optimizer]:
    layers = [weight for weight in model.model.layers.parameters() if weight.dim() == 2]
    embeddings = list(model.model.embed_tokens.parameters())
    norms = [weight for weight in model.parameters() if weight.dim() == 1]
    muon = torch.optim.Muon(
        [{"params": layers, "rate_ratio": MUON_RATE_RATIO}], weight_decay=decay, momentum=0.95
    )
    adam = torch.optim.AdamW(
        [
            {"params": embeddings, "weight_decay": decay, "rate_ratio": 1.0},
            {"params": norms, "weight_decay": 0.0, "rate_ratio": 1.0},
        ],
        betas=(0.9, 0.95),
        fused=True,
    )
    return [muon, adam]
