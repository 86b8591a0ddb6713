"""How every figure looks: one colour and one marker per model, one legend below the panels, small files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from icrl.report.comparison import label, model_order

P = ParamSpec("P")

INK = "#333333"
MODEL_STYLES = {
    "s5": ("#0072B2", "o"),
    "s5_no_reset": ("#56B4E9", "P"),
    "gru": ("#E69F00", "s"),
    "lstm": ("#D55E00", "D"),
    "transformer": ("#009E73", "^"),
    "mlp": ("#707070", "X"),
}
"""Colour and marker of each model: the colours of Okabe and Ito, which the colour-blind can tell apart."""
SPARE_STYLES = (("#CC79A7", "v"), ("#8C6D31", "<"), ("#6A3D9A", ">"), ("#000000", "*"))
"""For models without a style of their own."""
RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "errorbar.capsize": 2.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 9.5,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}
BAND: dict[str, Any] = {"alpha": 0.16, "linewidth": 0}
"""The filled area around a line."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorates a function that draws a figure."""

    @wraps(draw)
    def with_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(RC):
            return draw(*args, **kwargs)

    return with_style


def model_styles(models: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each model, in the order of every legend."""
    ordered = sorted(set(models), key=model_order)
    spare = [model for model in ordered if model not in MODEL_STYLES]
    return {
        model: MODEL_STYLES[model] if model in MODEL_STYLES else SPARE_STYLES[spare.index(model) % len(SPARE_STYLES)]
        for model in ordered
    }


def add_legend(figure: Figure, models: Iterable[str]) -> None:
    """One legend for all panels, below them: the models, then the rest, each once, in as many columns as fit."""
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        handles, names = axes.get_legend_handles_labels()
        entries |= dict(zip(names, handles, strict=True))
    first = [label(model) for model in sorted(set(models), key=model_order)]
    ordered = {name: entries[name] for name in [*first, *entries] if name in entries}
    for columns in range(min(4, len(ordered)), 0, -1):
        legend = figure.legend(ordered.values(), ordered.keys(), loc="outside lower center", ncols=columns)
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            return
        legend.remove()


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of few colours, small enough to commit, and return its path."""
    with matplotlib.rc_context(RC):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(64, dither=Image.Dither.NONE).save(path, format="png", optimize=True)
    return path
