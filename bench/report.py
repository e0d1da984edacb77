"""Tables and a plot of what was measured."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.results import Results

PLAIN = "generate"
"""What the ratios are to: one question after another, in fp32."""

HEADINGS = ("N", "way", "tokens/s", "ratio", "first p50", "first p99", "token gap", "load",
            "lag p99 / max", "memory")  # fmt: skip
TERMINAL_COLUMNS = 7
PANELS_ABREAST = 3


def rows(results: Results, model: str, ways: Sequence[str]) -> list[tuple[str, ...]]:
    """A model's figures, a row for each number of conversations and way that was measured."""
    return [
        _row(
            count,
            f"{way} (fallback)" if results.fallback(model, way, count) else way,
            figures,
            results.medians(model, PLAIN, count),
        )
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


def fallback_lines(results: Results, model: str) -> list[str]:
    """Why ways are labelled as fallbacks, a line each."""
    return [f"{way} (fallback): {why}" for way, why in results.fallbacks(model).items()]


def scenario_lines(results: Results, model: str, scenarios: Sequence[str]) -> list[str]:
    """What the scenarios gave, a line each figure."""
    return [
        f"{name.replace('_', ' ')}: {_figure(name, value)}"
        for scenario in scenarios
        for name, value in results.medians(model, scenario, 0).items()
    ]


def plot(results: Results, ways: Sequence[str], file: Path) -> None:
    """Throughput by the number of conversations: a panel each model, a line each way."""
    # Imported here: only who asks for a plot needs it.
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    colors: Any = mpl.colormaps["tab20"]
    models = results.models()
    columns = min(len(models), PANELS_ABREAST)
    lines = math.ceil(len(models) / columns)
    figure: Any = Figure(figsize=(3.4 * columns + 0.6, 2.8 * lines + 0.9), layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)  # only partly typed
    known: dict[str, Any] = {}
    for model, axes in zip(models, panels, strict=False):
        for index, way in enumerate(ways):
            if points := _throughputs(results, model, way):
                (line,) = axes.plot(*zip(*points, strict=True), marker=".", color=colors(index))
                known.setdefault(way, line)
        axes.set(title=model, xlabel="conversations", ylabel="tokens/s")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:.0f}")
        axes.set_xticks(results.counts(model), map(str, results.counts(model)))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(models) :]:
        axes.set_axis_off()
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=6, frameon=False)
    figure.savefig(file, dpi=120)


def _throughputs(results: Results, model: str, way: str) -> list[tuple[int, float]]:
    found = [(count, results.medians(model, way, count)) for count in results.counts(model)]
    return [(count, figures["tokens_per_s"]) for count, figures in found if figures]


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
