"""Figures, one function each: records in, a matplotlib figure out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from icrl.records import Record, Split
from icrl.report.comparison import rung_order
from icrl.report.grid import Grid, conditions_of_cost, mebibytes_per_seed, seconds_per_seed
from icrl.report.intervals import last_return, means, task_returns
from icrl.report.style import BAND, INK, add_legend, legend_label, model_styles, styled


@styled
def adaptation_curves(records: Sequence[Record]) -> Figure:
    """Score by trial, mean over tasks with 95 % interval: a panel per split, a line per model.

    Return, in a split without any reference.
    """
    figure, panels = _split_panels(records)
    styles = model_styles(record.model for record in records)
    for split, axes in panels.items():
        for record in records:
            intervals = means(record, split)
            trials = np.arange(1, record.trials + 1)
            colour, marker = styles[record.model]
            axes.fill_between(trials, [i.low for i in intervals], [i.high for i in intervals], color=colour, **BAND)
            axes.plot(
                trials,
                [i.estimate for i in intervals],
                color=colour,
                marker=marker,
                label=legend_label(record.model),
            )
        averaged = records[0].counted(split) or records[0].split(split)
        axes.set_title(f"{records[0].split_title(split)} (mean of {len(averaged)})")
        axes.set_xlabel("trial of the episode")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _mark_horizon(axes, records, start=0.5, trial_length=1)
    add_legend(figure, styles)
    return figure


@styled
def reward_by_step(records: Sequence[Record]) -> Figure:
    """Reward by step in context, a panel per task, mean over episodes and seeds; the band spans the seeds.

    Rewards are averaged over eighths of a trial. Vertical lines part trials, which must last to their limit.
    Horizontal lines are the references' mean reward per step.
    """
    figure, panels = _task_panels(records)
    styles = model_styles(record.model for record in records)
    trials, trial_steps = max(record.trials for record in records), records[0].trial_steps
    for name, axes in panels.items():
        for record in records:
            steps, rewards = _blocks(record.tasks[name].reward_by_step, record.trials, trial_steps)
            colour, _ = styles[record.model]
            axes.fill_between(steps, rewards.min(axis=0), rewards.max(axis=0), color=colour, **BAND)
            axes.plot(steps, rewards.mean(axis=0), color=colour, linewidth=1.4, label=legend_label(record.model))
        for trial in range(1, trials):
            axes.axvline(trial * trial_steps, color="#BBBBBB", linewidth=0.7, zorder=0)
        _mark_horizon(axes, records, start=0, trial_length=trial_steps)
        _reference_lines(axes, records[0], name, scale=1 / trial_steps)
        axes.set_xticks(range(0, trials * trial_steps + 1, trial_steps * math.ceil(trials / 6)))
        if (cell := axes.get_subplotspec()) and cell.is_last_row():
            axes.set_xlabel("step in context", fontsize=9)
    figure.supylabel("reward per step", fontsize=10)
    add_legend(figure, styles)
    return figure


@styled
def probe_by_step(records: Sequence[Record]) -> Figure:
    """What a linear probe reads by step in context, a panel per quantity, mean over seeds; the band spans them.

    The task's identity is a share of episodes, all else a coefficient of determination. Vertical lines part trials.
    """
    probes = {record.model: record.probe for record in records if record.probe}
    first = next(record for record in records if record.probe)
    names: dict[Split, list[str]] = {
        split: list(dict.fromkeys(name for probe in probes.values() for name in probe.readings.get(split, ())))
        for split in first.splits
    }
    figure, panels = _panels(first, names)
    styles = model_styles(probes)
    for (split, name), axes in panels.items():
        for model, probe in probes.items():
            if (values := probe.readings.get(split, {}).get(name)) is not None:
                colour, _ = styles[model]
                axes.fill_between(probe.steps, values.min(axis=0), values.max(axis=0), color=colour, **BAND)
                axes.plot(probe.steps, values.mean(axis=0), color=colour, linewidth=1.4, label=legend_label(model))
        if name == "task":
            axes.axhline(1 / len(first.split(split)), color=INK, linewidth=1, linestyle="--", label="chance")
        axes.set_ylim(max(-0.5, min(-0.05, axes.get_ylim()[0])), 1.05)
        for trial in range(1, first.trials):
            axes.axvline(trial * first.trial_steps, color="#BBBBBB", linewidth=0.7, zorder=0)
        if (cell := axes.get_subplotspec()) and cell.is_last_row():
            axes.set_xlabel("step in context", fontsize=9)
    figure.supylabel("told rightly (task), R² (all else)", fontsize=10)
    add_legend(figure, styles)
    return figure


@styled
def bars_per_task(records: Sequence[Record]) -> Figure:
    """Return of the last trial and 95 % interval: a panel per task, a bar per model.

    A ring is the first trial of several. Bars start at the better of random and do-nothing: their length is learned.
    """
    figure, panels = _task_panels(records)
    styles = model_styles(record.model for record in records)
    ring: dict[str, Any] = {
        "marker": "o",
        "linestyle": "none",
        "markerfacecolor": "white",
        "markeredgecolor": INK,
    }
    for name, axes in panels.items():
        for place, record in enumerate(records):
            intervals = task_returns(record, name)
            first, last = intervals[0], intervals[record.last_trial]
            floor = record.reference(name).floor
            height, colour = last.estimate - floor, styles[record.model][0]
            axes.bar(place, height, bottom=floor, width=0.78, color=colour, label=legend_label(record.model))
            error = [[last.estimate - last.low], [last.high - last.estimate]]
            axes.errorbar([place], [last.estimate], yerr=error, color=INK, linewidth=1.1)
            if record.last_trial:
                axes.plot(place, first.estimate, label="first trial", **ring)
        _reference_lines(axes, records[0], name)
        axes.set_xlim(-0.7, len(records) - 0.3)
        axes.set_xticks([])
        axes.use_sticky_edges = False
        axes.margins(y=0.08)
    figure.supylabel("return per trial", fontsize=10)
    add_legend(figure, styles)
    return figure


@styled
def projection_ladder(records: Sequence[Record]) -> Figure:
    """Score of the last trial by rung of the projection ladder: a panel per split, a line per model."""
    figure, panels = _split_panels(records)
    styles = model_styles(record.model for record in records)
    rungs = sorted({record.rung for record in records}, key=rung_order)
    for split, axes in panels.items():
        for place, (model, (colour, marker)) in enumerate(styles.items()):
            climbed = [record for record in records if record.model == model]
            last = [means(record, split)[record.last_trial] for record in climbed]
            shift = 0.09 * (place - (len(styles) - 1) / 2)
            axes.errorbar(
                [rungs.index(record.rung) + shift for record in climbed],
                [i.estimate for i in last],
                yerr=[[i.estimate - i.low for i in last], [i.high - i.estimate for i in last]],
                color=colour,
                marker=marker,
                linewidth=1.4,
                label=legend_label(model),
            )
        axes.set_title(f"{records[0].split_title(split)}, last trial")
        axes.set_xticks(range(len(rungs)), [rung.replace("_", "\n").replace("/", " /\n") for rung in rungs])
        axes.set_xlim(-0.5, len(rungs) - 0.5)
        axes.set_xlabel("projections")
    add_legend(figure, styles)
    return figure


@styled
def learning_curves(
    metrics: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    metric: str = "return/last_trial",
    ylabel: str = "return of the last trial",
) -> Figure:
    """A logged metric against env steps, a line per model.

    `metrics` holds the lines of metrics.jsonl by model. Lines with a `seed` make one curve per seed: their
    mean is drawn, and a band from the lowest to the highest. Lines without the metric are passed over.
    """
    figure = Figure(figsize=(5.8, 3.7))
    axes = figure.subplots()
    for model, (colour, _) in model_styles(metrics).items():
        env_steps, values = _curves(metrics[model], metric)
        axes.fill_between(env_steps, values.min(axis=0), values.max(axis=0), color=colour, **BAND)
        axes.plot(env_steps, values.mean(axis=0), color=colour, label=legend_label(model))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.set_xlabel("env steps")
    axes.set_ylabel(ylabel)
    add_legend(figure, metrics)
    return figure


@styled
def grid_panels(grid: Grid) -> Figure:
    """Return, training seconds and memory against the point of a grid, by model.

    A line joins times, or memory, that one machine measured while it had nothing else to do; other marks are hollow.
    """
    figure = Figure(figsize=(11.4, 3.7 if grid.is_numeric else 4.4))
    panels = figure.subplots(1, 3)
    styles = model_styles(grid.models)
    for model, (colour, marker) in styles.items():
        records = grid.of_model(model)
        places = [grid.place_of(record) for record in records]
        ends = [last_return(record) for record in records]
        look: dict[str, Any] = {"color": colour, "marker": marker, "label": legend_label(model)}
        if grid.is_numeric:
            panels[0].fill_between(places, [i.low for i in ends], [i.high for i in ends], color=colour, **BAND)
        else:
            panels[0].vlines(places, [i.low for i in ends], [i.high for i in ends], color=colour)
        panels[0].plot(places, [i.estimate for i in ends], linestyle="-" if grid.is_numeric else "none", **look)
        for axes, cost in zip(panels[1:], (seconds_per_seed, mebibytes_per_seed), strict=True):
            _draw_cost(axes, grid, records, cost, look)
    titles = ("return of the last trial", "training, seconds per seed", "memory of the training, MiB per seed")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
        if grid.is_numeric:
            axes.set_xscale("log", base=2)
            axes.set_xticks([float(point) for point in grid.points], grid.points, rotation=45)
        else:
            names = [fill(point.replace("_", " "), width=15) for point in grid.points]
            axes.set_xticks(range(len(names)), names, rotation=90)
        axes.minorticks_off()
        axes.set_xlabel(grid.experiment.replace("_", " "))
    for axes in panels[1:]:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    add_legend(figure, styles)
    return figure


def _draw_cost(
    axes: Axes, grid: Grid, records: Sequence[Record], cost: Callable[[Record], float | None], look: dict[str, Any]
) -> None:
    """What each record cost: one line for those whose conditions are the same, hollow marks for those without."""
    alike: dict[Any, list[tuple[float, float]]] = {}
    for record in records:
        if (value := cost(record)) is not None:
            alike.setdefault(conditions_of_cost(record), []).append((grid.place_of(record), value))
    for conditions, points in alike.items():
        here: dict[str, Any] = look | {"linestyle": "-" if conditions and grid.is_numeric else "none"}
        if conditions is None:
            here |= {"label": None, "markerfacecolor": "white"}
            unknown: dict[str, Any] = here | {"color": INK, "marker": "o", "label": "machine not known to be idle"}
            axes.plot([], [], **unknown)
        axes.plot([place for place, _ in points], [value for _, value in points], **here)


def _split_panels(records: Sequence[Record]) -> tuple[Figure, dict[Split, Axes]]:
    """A panel per split: of scores, with lines at the two ends of the normalised scale, or of returns."""
    splits = records[0].splits
    measures = [records[0].measure(split) for split in splits]
    figure = Figure(figsize=(4.4 * len(splits) + 0.4, 3.7))
    panels = figure.subplots(1, len(splits), squeeze=False, sharey=set(measures) == {"score"})[0]
    for place, (axes, measure) in enumerate(zip(panels, measures, strict=True)):
        if not place or measure != measures[place - 1]:
            axes.set_ylabel("normalised score" if measure == "score" else "return per trial")
        if measure == "score":
            axes.axhline(0, color=INK, linewidth=1, linestyle="--", label="0: better of random and do-nothing")
            axes.axhline(1, color=INK, linewidth=1, label="1: specialist")
    return figure, dict(zip(splits, panels, strict=True))


def _task_panels(records: Sequence[Record]) -> tuple[Figure, dict[str, Axes]]:
    """A panel per task; each split starts a row, under its title."""
    figure, panels = _panels(records[0], {split: list(records[0].split(split)) for split in records[0].splits})
    return figure, {name: axes for (_, name), axes in panels.items()}


def _panels(record: Record, names: Mapping[Split, Sequence[str]]) -> tuple[Figure, dict[tuple[Split, str], Axes]]:
    """A panel per name; each split starts a row, under its title."""
    widest = min(4, max(map(len, names.values())))
    columns = min((widest, min(3, widest)), key=lambda n: sum(-len(of_split) % n for of_split in names.values()))
    cells = [
        cell
        for split, of_split in names.items()
        for cell in [*((split, name) for name in of_split), *[None] * (-len(of_split) % columns)]
    ]
    rows = len(cells) // columns
    figure = Figure(figsize=(max(3.1 * columns, 5.0), 1.8 * rows + 0.9))
    panels = {}
    for cell, axes in zip(cells, figure.subplots(rows, columns, squeeze=False).ravel(), strict=True):
        if cell is None:
            axes.remove()
            continue
        panels[cell] = axes
        axes.tick_params(labelsize=8)
        axes.text(0, 1.05, cell[1].replace("_", " "), transform=axes.transAxes)
    for split, of_split in names.items():
        if of_split:
            panels[split, of_split[0]].set_title(record.split_title(split), pad=20, fontweight="bold")
    return figure, panels


def _mark_horizon(axes: Axes, records: Sequence[Record], *, start: float, trial_length: int) -> None:
    """Shade the trials beyond those of training, on an x axis where the first trial begins at `start`."""
    trials = max(record.trials for record in records)
    trained = min(record.trials_per_episode for record in records)
    if trials > trained:
        edges = [start + trial_length * trained, start + trial_length * trials]
        axes.axvspan(*edges, color="#F2F2F2", zorder=0, label="beyond the trials of training")


def _reference_lines(axes: Axes, record: Record, task: str, scale: float = 1.0) -> None:
    """Random, do-nothing and specialist of one task, where known."""
    reference = record.reference(task)
    lines: tuple[tuple[str, float | None, Literal["--", ":", "-"]], ...] = (
        ("random", reference.random, "--"),
        ("do nothing", reference.do_nothing, ":"),
        ("specialist", reference.specialist, "-"),
    )
    for name, value, linestyle in lines:
        if value is not None:
            axes.axhline(value * scale, color=INK, linewidth=1, linestyle=linestyle, label=name)


def _blocks(rewards: np.ndarray, trials: int, trial_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over eighths of a trial, with NaN between trials: steps [n], rewards [seed, n]."""
    edges = np.linspace(0, trial_steps, min(8, trial_steps) + 1).astype(int)
    by_trial = rewards.reshape(len(rewards), trials, trial_steps)
    means = np.add.reduceat(by_trial, edges[:-1], axis=-1) / np.diff(edges)
    steps = (edges[:-1] + edges[1:]) / 2 + trial_steps * np.arange(trials)[:, None]
    gap = [(0, 0), (0, 1)]
    means = np.pad(means, [(0, 0), *gap], constant_values=np.nan)
    return np.pad(steps, gap, constant_values=np.nan).ravel(), means.reshape(len(rewards), -1)


def _curves(lines: Sequence[Mapping[str, Any]], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """One curve per seed, thinned to 100 points by averaging neighbours: env steps [n], values [seed, n]."""
    by_seed: dict[Any, list[tuple[float, float]]] = {}
    for line in lines:
        if line.get(metric) is not None:
            by_seed.setdefault(line.get("seed"), []).append((line["env_steps"], line[metric]))
    if not by_seed:
        return np.empty(0), np.empty((1, 0))
    curves = [np.array(curve, dtype=np.float64).T for curve in by_seed.values()]
    env_steps = min(curves, key=lambda curve: curve.shape[1])[0]
    values = np.stack([np.interp(env_steps, *curve) for curve in curves])
    edges = np.linspace(0, len(env_steps), min(100, len(env_steps)) + 1).astype(int)[:-1]
    sizes = np.diff(edges, append=len(env_steps))
    return np.add.reduceat(env_steps, edges) / sizes, np.add.reduceat(values, edges, axis=-1) / sizes
