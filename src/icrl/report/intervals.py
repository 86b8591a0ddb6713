"""The intervals that tables and figures show: each is bootstrapped once a record, wherever it is shown."""

from __future__ import annotations

from functools import cache

from icrl.records import Record, Split
from icrl.report.statistics import Interval, bootstrap, interquartile_mean


@cache
def task_returns(record: Record, task: str) -> list[Interval]:
    """Return on a task, by trial."""
    return bootstrap([record.tasks[task].returns])


@cache
def task_scores(record: Record, task: str) -> list[Interval] | None:
    """Score on a task, by trial; None without a reference."""
    score = record.score(task)
    return None if score is None else bootstrap([score])


@cache
def mean_returns(record: Record, split: Split) -> list[Interval]:
    """Return by trial, mean over the tasks of a split."""
    return bootstrap(record.returns(split))


@cache
def mean_scores(record: Record, split: Split) -> list[Interval]:
    """Score by trial, mean over the scored tasks of a split; [] if there are none."""
    scores = record.scores(split)
    return bootstrap(scores) if scores else []


def means(record: Record, split: Split) -> list[Interval]:
    """Score by trial where tasks of a split have one, else return: see `Record.measure`."""
    return mean_scores(record, split) or mean_returns(record, split)


@cache
def gain(record: Record, split: Split) -> Interval:
    """The last trial minus the first, in what `means` are given in."""
    last = record.last_trial
    measured = record.scores(split) or record.returns(split)
    return bootstrap([task[:, :, [last]] - task[:, :, [0]] for task in measured])[0]


@cache
def last_trial_iqm(record: Record, split: Split) -> Interval:
    """Interquartile mean of the last trial, in what `means` are given in."""
    measured = record.scores(split) or record.returns(split)
    return bootstrap([task[:, :, [record.last_trial]] for task in measured], aggregate=interquartile_mean)[0]


def last_return(record: Record) -> Interval:
    """Return of the last trial that training knew, mean over training tasks."""
    return mean_returns(record, "train")[record.last_trial]
