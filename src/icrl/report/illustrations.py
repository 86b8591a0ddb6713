"""Which figures a comparison gets. To add one: a function in `figures` and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from icrl.report import figures
from icrl.report.comparison import Comparison
from icrl.report.grid import Grid
from icrl.report.style import save


@dataclass(frozen=True)
class Illustration:
    """A figure and what it shows."""

    name: str
    """Last part of its file name."""
    caption: str
    draw: Callable[[Comparison], Figure | None]
    """None if the comparison holds nothing to draw."""


ILLUSTRATIONS = (
    Illustration(
        "adaptation",
        "Score (return, where no task has a reference) by trial of an episode, mean over tasks, with 95 % intervals.",
        lambda c: figures.adaptation_curves(c.headline) if c.headline[0].trials > 1 else None,
    ),
    Illustration(
        "ladder",
        "Score of the last trial by family of projections, the easiest first, with 95 % intervals.",
        lambda c: figures.projection_ladder(c.records) if c.has_ladder else None,
    ),
    Illustration(
        "bars",
        "Return of the last trial, task by task, with 95 % intervals. Rings are the first trial of several; "
        "bars start at the better of random and do-nothing.",
        lambda c: figures.bars_per_task(c.headline),
    ),
    Illustration(
        "reward-by-step",
        "Reward by step in context, task by task. Bands span the seeds; vertical lines part trials.",
        lambda c: figures.reward_by_step(c.headline) if all(r.trials_keep_step for r in c.headline) else None,
    ),
    Illustration(
        "probe",
        "What a linear probe reads off what the heads are given, by step in context: the task, as the share of "
        "episodes in which it is told rightly, and what was drawn for the episode, as the share of its variance. Bands "
        "span the seeds; vertical lines part trials.",
        lambda c: (
            figures.probe_by_step(c.headline)
            if any(any(r.probe.readings.values()) for r in c.headline if r.probe)
            else None
        ),
    ),
    Illustration(
        "learning",
        "Return of the last trial in training, mean over tasks, by env steps. Bands span the seeds.",
        lambda c: figures.learning_curves(c.metrics) if c.metrics else None,
    ),
    Illustration(
        "learning-all-trials",
        "Return per trial in training, mean over all trials of the episodes, by env steps. Bands span the seeds.",
        lambda c: (
            figures.learning_curves(c.metrics, metric="return/mean", ylabel="return per trial")
            if _logs(c, "return/mean") and c.headline[0].trials_per_episode > 1
            else None
        ),
    ),
)
"""In the order of results/README.md, where the first stands above the tables."""


GRID_CAPTION = (
    "Return of the last trial with 95 % intervals, training time (compiling aside), and what the compiled training "
    "holds in memory at once, by point of the grid; time and memory of all seeds are divided by their number. A line "
    "joins what one machine measured with as many seeds while it had nothing else to do; of hollow marks that is not "
    "known, and they compare with no other."
)


def illustrate_grid(grid: Grid, folder: Path) -> dict[Path, str]:
    """Write the figure of a grid as a PNG file into a folder: its caption by path."""
    return {save(figures.grid_panels(grid), folder / f"{grid.name}-grid.png"): GRID_CAPTION}


def illustrate(comparison: Comparison, folder: Path) -> dict[Path, str]:
    """Write every figure there is something for, as PNG files into a folder: their captions by path."""
    captions = {}
    for illustration in ILLUSTRATIONS:
        if figure := illustration.draw(comparison):
            path = folder / f"{comparison.name}-{illustration.name}.png"
            captions[save(figure, path)] = illustration.caption
    return captions


def _logs(comparison: Comparison, metric: str) -> bool:
    return any(metric in line for lines in comparison.metrics.values() for line in lines)
