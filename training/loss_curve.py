"""The losses of both phases as a picture."""
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# matplotlib is installed for training only.

import json
from pathlib import Path

from matplotlib.figure import Figure


def draw_loss_curve(builtin: Path) -> None:
    """Read `training.json` and write `loss.png` beside it."""
    runs = json.loads((builtin / "training.json").read_text(encoding="utf-8"))
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    start = 0
    for run in runs:
        tokens_per_step = run["tokens"] / max(1, run["steps"])
        seen = [(start + step * tokens_per_step) / 1e6 for step, _ in run["losses"]]
        axes.plot(seen, [loss for _, loss in run["losses"]], label=run["phase"])
        start += run["tokens"]
    axes.set(xlabel="tokens seen (millions)", ylabel="training loss (nats a token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(builtin / "loss.png", dpi=100)
