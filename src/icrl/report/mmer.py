"""MMER, the number that POPGym (arXiv 2303.01859) and the paper compare agents by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def max_mean_episodic_reward(lines: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """Of every seed, the largest over updates of the mean return of the episodes that ended in the update.

    `lines` are a run's metrics.jsonl. A line is an update where `updates_per_chunk` is 1, and a trial an episode where
    `trials_per_episode` is 1. Lines in which no episode ended count for nothing; so does a seed that has no other.
    """
    best: dict[int, float] = {}
    for line in lines:
        if (mean := line.get("return/mean")) is not None:
            seed = line.get("seed", 0)
            best[seed] = max(mean, best.get(seed, mean))
    return best
