"""Tables and a plot of what was measured."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.results import Results

PLAIN = "generate"
"""What the ratios are to: one question after another, in fp32."""

HEADINGS = ("N", "way", "tokens/s", "ratio", "first p50", "first p99", "token gap", "load",
            "lag p99 / max", "memory")  # fmt: skip
TERMINAL_COLUMNS = 7


def rows(results: Results, model: str, ways: Sequence[str]) -> list[tuple[str, ...]]:
    """A model's figures, a row for each number of conversations and way that was measured."""
    return [
        _row(count, way, figures, results.medians(model, PLAIN, count))
        for count in results.counts(model)
        for way in ways
        if (figures := results.medians(model, way, count))
    ]


def table(results: Results, model: str, ways: Sequence[str]) -> Table:
    """The figures for a terminal of 80 columns: without the last of them."""
    shown = Table(
        title=f"{model}: medians; ratio to generate one after another (fp32)",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for heading in HEADINGS[:TERMINAL_COLUMNS]:
        shown.add_column(heading, justify="left" if heading == "way" else "right", no_wrap=True)
    for row in rows(results, model, ways):
        shown.add_row(*row[:TERMINAL_COLUMNS])
    return shown


def markdown(results: Results, model: str, ways: Sequence[str]) -> str:
    """The figures for a document."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows(results, model, ways)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def scenario_lines(results: Results, model: str, scenarios: Sequence[str]) -> list[str]:
    """What the scenarios gave, a line each figure."""
    return [
        f"{name.replace('_', ' ')}: {_figure(name, value)}"
        for scenario in scenarios
        for name, value in results.medians(model, scenario, 0).items()
    ]


def plot(results: Results, model: str, ways: Sequence[str], file: Path) -> None:
    """Throughput by the number of conversations, a line each way."""
    # Imported here: only who asks for a plot needs it.
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes: Any = figure.add_subplot()  # only partly typed
    for way in ways:
        found = [(count, results.medians(model, way, count)) for count in results.counts(model)]
        points = [(count, figures["tokens_per_s"]) for count, figures in found if figures]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=way)
    axes.set(xlabel="conversations", ylabel="tokens/s", title=model, ylim=(0, None))
    axes.set_xscale("log", base=2)
    axes.set_xticks(results.counts(model), map(str, results.counts(model)))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    cast("Any", figure).savefig(file, dpi=120)


def _row(
    count: int, way: str, figures: Mapping[str, float], plain: Mapping[str, float]
) -> tuple[str, ...]:
    ratio = figures["tokens_per_s"] / plain["tokens_per_s"] if plain else math.nan
    lags = (figures["lag_p99_ms"], figures["lag_max_ms"])
    return (
        str(count),
        way,
        f"{figures['tokens_per_s']:.1f}",
        "-" if math.isnan(ratio) else f"{ratio:.2f}",
        _figure("first_token", figures["first_token_p50_s"]),
        _figure("first_token", figures["first_token_p99_s"]),
        _figure("gap", figures["token_gap_s"]),
        f"{figures['load_s']:.2f} s",
        "-" if math.isnan(lags[0]) else f"{lags[0]:.1f} / {lags[1]:.1f} ms",
        f"{figures['memory_mib']:.0f} MiB",
    )


def _figure(name: str, value: float) -> str:
    """Random weights may say nothing that is text: then there is no first word to time."""
    if math.isnan(value):
        return "-"
    if name.endswith("_mib"):
        return f"{value:.0f} MiB"
    if name.endswith(("_ratio", "_asked", "_share")):
        return f"{value:.2f}"
    return f"{value:.1f} ms" if name.endswith("_ms") else f"{1000 * value:.1f} ms"
