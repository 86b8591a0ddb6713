"""How every figure looks: one colour and one marker per model, one legend below the panels, small files."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from icrl.report.comparison import label, model_order

P = ParamSpec("P")

INK = "#333333"
MODEL_STYLES = {
    "s5": ("#0072B2", "o"),
    "s5_no_reset": ("#56B4E9", "P"),
    "s5_selective": ("#CC79A7", "v"),
    "gru": ("#E69F00", "s"),
    "lstm": ("#D55E00", "D"),
    "deltanet": ("#000000", "*"),
    "s5_deltanet": ("#882255", "p"),
    "transformer": ("#009E73", "^"),
    "mlp": ("#707070", "X"),
}
"""Colour and marker of each model: the colours of Okabe and Ito, which the colour-blind can tell apart."""
SPARE_COLOURS = ("#8C6D31", "#6A3D9A", "#117733")
SPARE_MARKERS = ("<", ">", "h", "d", "8", "1", "2", "3", "4", "x", "+")
"""For models without a style of their own; more of them have more colours."""
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
    "text.parse_math": False,
}
BAND: dict[str, Any] = {"alpha": 0.16, "linewidth": 0}
"""The filled area around a line."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorates a function that draws a figure."""

    @wraps(draw)
    def with_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _own_settings():
            return draw(*args, **kwargs)

    return with_style


@contextmanager
def _own_settings() -> Iterator[None]:
    """Matplotlib's defaults and `RC`, whatever a `matplotlibrc` of the user's says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def model_styles(models: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each model, in the order of every legend."""
    ordered = sorted(set(models), key=model_order)
    spare = (_spare_style(number) for number in count())
    return {model: MODEL_STYLES.get(model) or next(spare) for model in ordered}


def _spare_style(number: int) -> tuple[str, str]:
    """The colours after `SPARE_COLOURS` are apart by the golden ratio of a turn, so that no two are the same."""
    if number < len(SPARE_COLOURS):
        colour = SPARE_COLOURS[number]
    else:
        colour = to_hex(colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.9, (0.8, 0.5)[number % 2]))
    return colour, SPARE_MARKERS[number % len(SPARE_MARKERS)]


def legend_label(model: str) -> str:
    """The name of a model in a legend, from which Matplotlib leaves out what begins with an underscore."""
    return f" {label(model)}" if label(model).startswith("_") else label(model)


def add_legend(figure: Figure, models: Iterable[str]) -> None:
    """One legend for all panels, below them: the models, then the rest, each once, in as many columns as fit."""
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        handles, names = axes.get_legend_handles_labels()
        entries |= dict(zip(names, handles, strict=True))
    first = [legend_label(model) for model in sorted(set(models), key=model_order)]
    ordered = {name: entries[name] for name in [*first, *entries] if name in entries}
    for columns in range(min(4, len(ordered)), 0, -1):
        legend = figure.legend(ordered.values(), ordered.keys(), loc="outside lower center", ncols=columns)
        if legend.get_window_extent().width <= figure.bbox.width or columns == 1:
            return
        legend.remove()


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of 256 colours, small enough to commit with every model's own kept, and return its path."""
    with _own_settings():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, format="png", optimize=True)
    return path
