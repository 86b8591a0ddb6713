"""A linear probe: what can be read, by linear regression, off what an agent's heads are given at a step in context.

Read are the task's identity, and every number that was drawn with it: projections, hidden parameters. Episodes are
predicted by regressions on other episodes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

PENALTIES = 10.0 ** np.arange(-4, 4)
"""Of the ridge regression, per episode and unit of a feature's variance."""

FOLDS = 4
"""Parts of the episodes, each predicted from the others: as many of a task are the least that can be read."""

MOST_STEPS = 33
"""Steps in context at which is read, at most, evenly over the episode."""


class Watched(NamedTuple):
    """What a probe needs of one episode of every row."""

    features: Float[Any, "T B H"]
    """What the sequence model gave to the heads."""
    playing: Bool[Any, "T B"]
    """Whether the row's first episode still went on."""
    drawn: Sequence[tuple[Int[Any, " b"], Mapping[str, Float[Any, "b n"]]]]
    """For each environment its rows, and what was drawn for their episodes, by name."""


def choose_steps(playing: Sequence[Bool[np.ndarray, "T B"]], row_task: Int[np.ndarray, " B"]) -> list[int]:
    """Indices of steps at which at least half of every task's episodes go on, for each of several agents."""
    common = np.logical_and.reduce(
        [of_agent[:, row_task == task].mean(axis=1) >= 0.5 for of_agent in playing for task in np.unique(row_task)]
    )
    steps = np.flatnonzero(common)
    return sorted({int(steps[round(place)]) for place in np.linspace(0, len(steps) - 1, MOST_STEPS)})


def read(
    watched: Watched, steps: Sequence[int], rows_B: Bool[np.ndarray, " B"], row_task_B: Int[np.ndarray, " B"]
) -> dict[str, np.ndarray]:
    """How well each quantity is read off ``features[step]``, for every step, over the episodes of ``rows_B``.

    ``task`` is the share of episodes whose task is told rightly, where there is more than one. All else are
    coefficients of determination, R^2: the share of the variance, within a task, that is predicted; a quantity of
    several numbers has their mean. What is the same in all episodes of a task is not among them.
    """
    readings = [_read_at(watched, step, rows_B & watched.playing[step], row_task_B) for step in steps]
    names = [name for name in readings[0] if all(name in reading for reading in readings)]
    return {name: np.array([reading[name] for reading in readings]) for name in names}


def _read_at(watched: Watched, step: int, rows_B: np.ndarray, row_task_B: np.ndarray) -> dict[str, float]:
    x_BH, found = watched.features[step], {}
    tasks, task = np.unique(row_task_B[rows_B], return_inverse=True)
    if len(tasks) > 1:
        predicted = predict_apart(x_BH[rows_B], np.eye(len(tasks))[task], task)
        found["task"] = float(np.mean(predicted.argmax(axis=1) == task))
    shares = defaultdict(list)
    for own, numbers in watched.drawn:
        here = rows_B[own]
        own_task = row_task_B[own][here]
        within = {name: _within_tasks(of_rows[here], own_task) for name, of_rows in numbers.items() if here.any()}
        names = [name for name, y in within.items() for _ in y.T]
        if names:
            y = np.concatenate(list(within.values()), axis=1)
            of_numbers = 1 - np.mean((predict_apart(x_BH[own][here], y, own_task) - y) ** 2, axis=0)
            for name, share in zip(names, of_numbers, strict=True):
                shares[name].append(share)
    return found | {name: float(np.mean(values)) for name, values in shares.items()}


def _within_tasks(numbers: np.ndarray, task: np.ndarray) -> np.ndarray:
    """The numbers ``[b, n]`` that vary within a task, less their task's mean, scaled to variance 1."""
    centred = np.array(numbers, np.float64)
    for one in np.unique(task):
        centred[task == one] -= centred[task == one].mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 1e-6 * np.abs(numbers).max(axis=0)
    return centred[:, varies] / spread[varies]


def predict_apart(x_NH: np.ndarray, y_NM: np.ndarray, task_N: np.ndarray) -> Float[np.ndarray, "N M"]:
    """Every row as a ridge regression on other rows predicts it: those of the other `FOLDS`, which share tasks evenly.

    Not from all others at once: what is left out then shows in their mean, and chance becomes worse than chance.
    """
    fold = np.zeros(len(x_NH), int)
    for one in np.unique(task_N):
        fold[task_N == one] = np.arange(np.sum(task_N == one)) % FOLDS
    predicted = np.zeros(np.shape(y_NM))
    for apart in range(FOLDS):
        held, fitted = fold == apart, fold != apart
        predicted[held] = ridge(x_NH[fitted], y_NM[fitted], x_NH[held])
    return predicted


def ridge(x_NH: np.ndarray, y_NM: np.ndarray, new_KH: np.ndarray) -> Float[np.ndarray, "K M"]:
    """What a ridge regression of ``y`` on ``x``, with an intercept, predicts for new rows.

    Features are scaled to variance 1. Each of the M penalties is the one of `PENALTIES` with the least error on rows
    left out one by one: a residual of the regression on all rows, divided by 1 less the row's leverage.
    """
    mean, spread, y_mean = x_NH.mean(axis=0), x_NH.std(axis=0), y_NM.mean(axis=0)
    spread = np.where(spread > 0, spread, 1)
    u, s, basis = np.linalg.svd((x_NH - mean) / spread, full_matrices=False)
    along = u.T @ (y_NM - y_mean)
    gain = s / (s**2 + len(u) * PENALTIES[:, None])
    errors = [
        np.sum(((y_NM - y_mean - (u * kept) @ along) / (1 - 1 / len(u) - u**2 @ kept)[:, None]) ** 2, axis=0)
        for kept in gain * s
    ]
    best_M = np.argmin(errors, axis=0)
    return y_mean + (new_KH - mean) / spread @ basis.T @ (gain[best_M].T * along)
