"""Both phases one after the other, from nothing to the files in `bot/builtin/`."""

import json
import time
from pathlib import Path

from training.examples import load_examples
from training.export import export
from training.mix import rows
from training.model import build_model
from training.plan import Phase, answers, talk
from training.prepared import load_split, prepare
from training.tokenizer import load_tokenizer
from training.train import Trainer

MEASURED_STEPS = 8
TALK_SHARE = 0.6
OVERHEAD = 0.95


def steps_for(minutes: float, work: Path) -> tuple[int, int]:
    """How many steps of each phase fit the time on this machine; kept, so that a stop is free."""
    plan = work / "plan.json"
    if not plan.exists():
        per_step = _seconds_per_step(work)
        total = round(minutes * 60 * OVERHEAD / per_step)
        talk_steps = round(total * TALK_SHARE)
        plan.write_text(json.dumps([talk_steps, total - talk_steps]), encoding="utf-8")
    talk_steps, answer_steps = json.loads(plan.read_text(encoding="utf-8"))
    return int(talk_steps), int(answer_steps)


def train(work: Path, builtin: Path, talk_steps: int, answer_steps: int) -> None:
    """Train what is not trained yet, then write the model and the record of its training."""
    _prepare_once(work)
    first = _run(talk(talk_steps), None, work)
    second = _run(answers(answer_steps), first, work)
    export(second.model, work / "tokenizer", builtin / "model")
    record = [first.summary(), second.summary()]
    (builtin / "training.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


def _run(phase: Phase, before: Trainer | None, work: Path) -> Trainer:
    split = load_split(work)
    tokenizer = load_tokenizer(work / "tokenizer")
    model = before.model if before else build_model(phase.seed)
    trainer = Trainer(model, phase, work)
    trainer.resume()
    trainer.run(rows(phase, split.training, load_examples(), tokenizer))
    return trainer


def _prepare_once(work: Path) -> None:
    if not (work / "tokenizer").exists():
        prepare(work)


def _seconds_per_step(work: Path) -> float:
    """Measured on a few steps of the first phase, whose weights are thrown away."""
    _prepare_once(work)
    probe = work / "probe"
    probe.mkdir(exist_ok=True)
    phase = talk(MEASURED_STEPS)
    split = load_split(work)
    trainer = Trainer(build_model(phase.seed), phase, probe)
    tokenizer = load_tokenizer(work / "tokenizer")
    source = rows(phase, split.training, load_examples(), tokenizer)
    started = time.monotonic()
    trainer.run(source)
    return (time.monotonic() - started) / MEASURED_STEPS
