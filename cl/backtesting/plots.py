"""Plots of a backtest as PNG: the accuracy matrices, and a comparison of all strategies."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cl.backtesting.results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_comparison(results: list[Result]) -> bytes:
    """Plot finished results: mean score after each experience, and final score against training seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.6), dpi=110, layout="constrained")
    over_time, cost = figure.subplots(1, 2, width_ratios=(3, 2))
    for index, result in enumerate(results):
        colour = f"C{index % 10}"
        steps = range(1, len(result.accuracy_over_time) + 1)
        over_time.plot(steps, _percents(result.accuracy_over_time), "o-", color=colour, label=result.name, ms=4)
        if result.acc is None:
            continue
        point = max(result.seconds or 0.0, 0.1), 100 * result.acc
        cost.plot(*([value] for value in point), "o", color=colour, ms=8)
        cost.annotate(result.name, point, xytext=(7, 4), textcoords="offset points")
    over_time.set(xlabel="experiences learned", ylabel="mean score so far, %", title="Accuracy over time")
    cost.set(xlabel="training seconds, whole stream", ylabel="mean score at the end, %", title="Accuracy and cost")
    over_time.xaxis.get_major_locator().set_params(integer=True)
    cost.set_xscale("log")
    cost.margins(x=0.25, y=0.15)
    for axes in (over_time, cost):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    if results:
        over_time.legend(frameon=False, fontsize=9)
    return _png(figure)


def plot_matrix(result: Result) -> bytes:
    """Plot the accuracy matrix, with the scores as text if they are legible."""
    from matplotlib.figure import Figure

    count = len(result.experiences)
    side = min(14.0, 2.5 + 0.55 * count)
    figure = Figure(figsize=(side + 1.5, side), dpi=110, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow([_percents(row) for row in result.matrix], cmap="Blues", vmin=0, vmax=100)
    names = [experience.partition("-")[2][:18] or experience for experience in result.experiences]
    axes.set_xticks(range(count), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(count), names, fontsize=8)
    axes.set(xlabel="tested on", ylabel="after learning", title=f"{result.name}: score, %")
    if count <= 15:
        for row, cells in enumerate(result.matrix):
            for column, value in enumerate(cells):
                if value is None:
                    continue
                shade = "white" if value > 0.6 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=shade, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.7)
    return _png(figure)


def _percents(values: Sequence[float | None]) -> list[float]:
    """Return scores in percent, NaN where one is undecided, which leaves a gap."""
    return [float("nan") if value is None else 100 * value for value in values]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
