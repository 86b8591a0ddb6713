"""Point estimates with percentile bootstrap intervals, after Agarwal et al. 2021 (arXiv 2108.13264).

Episodes are nested in seeds: one trained agent (a seed) is evaluated on every task, for many episodes each. A
resample draws seeds with replacement, the same for all tasks, and then, within each drawn seed and each task,
episodes with replacement. An episode is drawn whole: its trials share a projection and a memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Aggregate = Callable[[np.ndarray], np.ndarray]
"""Reduces the last axis: one mean score for each pair of a seed and a task."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the percentile bootstrap interval around it."""

    estimate: float
    low: float
    high: float
    level: float = 0.95
    """Confidence level of [low, high]."""

    def is_above(self, other: Interval) -> bool:
        """Whether it lies wholly above the other, so that the two do not overlap."""
        return self.low > other.high

    def scaled(self, factor: float) -> Interval:
        """The interval of the quantity times a positive factor."""
        return Interval(factor * self.estimate, factor * self.low, factor * self.high, self.level)

    def format(self, digits: int = 2) -> str:
        """For example "0.62 [0.55, 0.70]"."""
        estimate, low, high = (format_number(x, digits) for x in (self.estimate, self.low, self.high))
        return f"{estimate} [{low}, {high}]"


def format_number(number: float, digits: int) -> str:
    """Fixed-point, in groups of three digits, without the sign of a negative zero."""
    return f"{round(number, digits) + 0.0:,.{digits}f}"


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis."""
    return values.mean(axis=-1)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half of the last axis: floor(n / 4) of n values are cut from each end.

    Less swayed by one outlying task or seed than the mean, and of smaller variance than the median (arXiv
    2108.13264, section 4).
    """
    cut = values.shape[-1] // 4
    return np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)


def bootstrap(
    scores: Sequence[np.ndarray],
    *,
    aggregate: Aggregate = mean,
    level: float = 0.95,
    num_resamples: int = 2000,
    rng_seed: int = 0,
) -> list[Interval]:
    """The interval of an aggregate over seeds and tasks, for each trial.

    `scores` holds one array [seed, episode, trial] per task, with the same seeds and trials in each.
    `aggregate` reduces the mean scores of all pairs of a seed and a task. The ends of the interval are
    the (1 - level) / 2 and (1 + level) / 2 quantiles of the resamples. Equal arguments, equal intervals.
    """
    rng = np.random.default_rng(rng_seed)
    num_seeds, _, num_trials = scores[0].shape
    # Legend: R resample, S drawn seed, T trial, K task.
    seeds_RS = rng.integers(num_seeds, size=(num_resamples, num_seeds))
    resampled_KRST = np.stack([_resampled_means(task, seeds_RS, rng) for task in scores])
    measured_KST = np.stack([task.mean(axis=1) for task in scores])
    estimate_T = aggregate(_pool(measured_KST[:, None]))[0]
    low_T, high_T = np.quantile(aggregate(_pool(resampled_KRST)), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(float(estimate_T[t]), float(low_T[t]), float(high_T[t]), level) for t in range(num_trials)]


def _resampled_means(scores_SET: np.ndarray, seeds_RS: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean score [R, S, T] of a fresh draw of episodes for every drawn seed."""
    num_seeds, num_episodes, num_trials = scores_SET.shape
    means_RST = np.empty((*seeds_RS.shape, num_trials))
    for seed in range(num_seeds):
        drawn_RS = seeds_RS == seed
        # How often each episode is drawn turns the resampled mean into a matrix product.
        num_draws = int(drawn_RS.sum())
        episodes = rng.integers(num_episodes, size=(num_draws, num_episodes))
        episodes += num_episodes * np.arange(num_draws)[:, None]
        counts = np.bincount(episodes.ravel(), minlength=num_draws * num_episodes)
        weights = counts.reshape(num_draws, num_episodes) / num_episodes
        means_RST[drawn_RS] = weights @ scores_SET[seed]
    return means_RST


def _pool(scores_KRST: np.ndarray) -> np.ndarray:
    """[K, R, S, T] to [R, T, S * K]."""
    num_tasks, num_resamples, num_seeds, num_trials = scores_KRST.shape
    return scores_KRST.transpose(1, 3, 2, 0).reshape(num_resamples, num_trials, num_seeds * num_tasks)
