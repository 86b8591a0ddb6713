"""Curves of every task as SVG for a page, which take the page's colours in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from icrl.records import Record
from icrl.report.comparison import label
from icrl.report.intervals import task_returns
from icrl.report.style import model_styles
from icrl.report.tables import split_words

WIDTH, HEIGHT = 260, 150
LEFT, RIGHT, TOP, BOTTOM = 36, 8, 10, 22
"""Margins of the plot, in SVG units."""
BLOCKS = 24
"""Into which the steps of a single trial are averaged."""


def task_curves(records: Sequence[Record]) -> str:
    """A small plot a task: return by trial or, where there is one trial, reward by step; a line a model."""
    styles = model_styles(record.model for record in records)
    by_step = records[0].trials == 1
    if by_step and not all(record.trials_keep_step for record in records):
        return ""
    colours = {model: colour for model, (colour, _) in styles.items()}
    legend = "".join(
        f'<span><i style="background:{colour}"></i>{escape(label(model))}</span>' for model, colour in colours.items()
    )
    what = "Reward by step, mean over episodes and seeds" if by_step else "Return by trial, with 95 % intervals"
    marks = "" if by_step else "; dashed: the better of random and doing nothing, dotted: the specialist"
    plots = "".join(
        _plot(records, name, by_step, colours) for split in records[0].splits for name in records[0].split(split)
    )
    return (
        f"<h3>Task by task</h3>\n<p>{what}{marks}.</p>\n"
        f'<div class="legend">{legend}</div>\n<div class="curves">{plots}</div>\n'
    )


def _plot(records: Sequence[Record], name: str, by_step: bool, colours: dict[str, str]) -> str:
    curves = {record.model: _curve(record, name, by_step) for record in records if name in record.tasks}
    anchors = [] if by_step else _anchors(records[0], name)
    values = np.concatenate([*(curve.ravel() for curve in curves.values()), [value for value, _ in anchors]])
    low, high = float(min(values.min(), 0.0)), float(values.max())
    high += (high == low) or 0.04 * (high - low)
    longest = max(curve.shape[1] for curve in curves.values())

    def x(index: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (index / max(longest - 1, 1))

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    def points(line: np.ndarray) -> list[str]:
        return [f"{x(index):.1f},{y(value):.1f}" for index, value in enumerate(line)]

    parts = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="var(--pale)" '
        f'stroke-dasharray="{dashes}"/>'
        for value, dashes in anchors
    ]
    for model, (estimate, below, above) in reversed(curves.items()):  # the first on top
        band = " ".join(points(above) + points(below)[::-1])
        parts += [
            f'<polygon points="{band}" fill="{colours[model]}" opacity="0.18"/>',
            f'<polyline points="{" ".join(points(estimate))}" fill="none" stroke="{colours[model]}" stroke-width="2"/>',
        ]
    ends = ("0", f"{records[0].trial_steps}") if by_step else ("1", f"{longest}")
    for at, value in ((y(low), low), (y(high), high)):
        parts.append(_text(LEFT - 5, at + 4, f"{value:.3g}", "end"))
    parts += [_text(LEFT, HEIGHT - 5, ends[0]), _text(WIDTH - RIGHT, HEIGHT - 5, ends[1], "end")]
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 5, "step" if by_step else "trial", "middle"))
    axes = f"M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"
    split = split_words(records[0].tasks[name].split)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
        f'<path d="{axes}" fill="none" stroke="var(--line)"/>{"".join(parts)}</svg>'
        f"<figcaption><b>{escape(name)}</b>, {split}</figcaption></figure>"
    )


def _curve(record: Record, name: str, by_step: bool) -> np.ndarray:
    """``[3, points]``: estimate, lower and upper end."""
    if not by_step:
        return np.array([(i.estimate, i.low, i.high) for i in task_returns(record, name)]).T
    reward = record.tasks[name].reward_by_step
    blocks = np.array([part.mean(axis=1) for part in np.array_split(reward, min(BLOCKS, reward.shape[1]), axis=1)]).T
    return np.stack([blocks.mean(axis=0), blocks.min(axis=0), blocks.max(axis=0)])


def _anchors(record: Record, name: str) -> list[tuple[float, str]]:
    """What scores of 0 and 1 stand for, and how their lines are dashed."""
    reference = record.reference(name)
    floor = [(max(reference.random, reference.do_nothing), "5 4")]
    return floor if reference.specialist is None else [*floor, (reference.specialist, "1.5 3")]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="10" fill="var(--pale)" text-anchor="{anchor}">{text}</text>'
