"""The figure of a benchmark's record: time and memory against sequence length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from icrl.report.style import BAND, add_legend, legend_label, model_styles, styled

TIMES = {"act": "one acting step", "gradient": "forward + backward", "update": "whole update"}
SLOPES = {1: ("--", "grows with length"), 2: (":", "grows with its square")}


@styled
def draw_sweep(result: Mapping[str, Any]) -> Figure:
    """Seconds of three programs and memory of the gradient by length, log-log, a line per model.

    Bands hold the middle half of the repetitions. Grey lines grow with the length and with its square.
    """
    figure = Figure(figsize=(8.2, 6.2))
    panels = figure.subplots(2, 2, sharex=True).ravel()
    measured = [record for record in result["records"] if "programs" in record]
    for axes, (use, title) in zip(panels, TIMES.items(), strict=False):
        _draw(axes, measured, lambda record, use=use: record["programs"][use]["seconds"])
        axes.set_title(title)
        axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
    _draw(panels[3], measured, _gradient_bytes)
    panels[3].set_title("memory, forward + backward")
    panels[3].yaxis.set_major_formatter(EngFormatter(unit="B"))
    for axes in panels[2:]:
        axes.set_xlabel("sequence length, steps")
    add_legend(figure, [record["model"] for record in measured])
    return figure


def _gradient_bytes(record: Mapping[str, Any]) -> dict[str, float]:
    needed = sum(record["programs"]["gradient"]["memory_bytes"].values())
    return {"median": needed, "low": needed, "high": needed}


def _draw(
    axes: Axes, records: Sequence[Mapping[str, Any]], interval_of: Callable[[Mapping[str, Any]], Mapping[str, float]]
) -> None:
    for model, (colour, marker) in model_styles(record["model"] for record in records).items():
        of_model = [record for record in records if record["model"] == model]
        lengths = [record["length"] for record in of_model]
        found = [interval_of(record) for record in of_model]
        axes.fill_between(lengths, [i["low"] for i in found], [i["high"] for i in found], color=colour, **BAND)
        axes.plot(lengths, [i["median"] for i in found], color=colour, marker=marker, label=legend_label(model))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(LogLocator(base=4))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    if records:
        lengths = sorted({record["length"] for record in records})
        start = min(interval_of(record)["median"] for record in records if record["length"] == lengths[0])
        low, high = axes.get_ylim()
        for power, (linestyle, name) in SLOPES.items():
            ideal = [start * (length / lengths[0]) ** power for length in lengths]
            axes.plot(lengths, ideal, color="#999999", linewidth=1, linestyle=linestyle, zorder=0, label=name)
        axes.set_ylim(low, high)
