"""What the paper (Lu et al. 2023, arXiv 2303.03982) published, and the same measure of our records, side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from icrl.records import Record, read_metrics
from icrl.report.grid import split_point
from icrl.report.intervals import last_return, mean_returns, task_returns
from icrl.report.mmer import max_mean_episodic_reward
from icrl.report.statistics import Interval, bootstrap

BY_EYE = "read off its figure by eye, within 2 %"


@dataclass(frozen=True)
class Published:
    """One measure of one experiment. Models bear our names: its FC is `mlp`, its self-attention `transformer`."""

    measure: str
    source: str
    """Where the paper says it, and whether as a number or a drawing."""
    values: Mapping[str, Mapping[str, str]]
    """What was measured, such as a task, and each model's value."""
    ours: Callable[[Record, str], Interval | None]
    """The same of a record; None if the record does not hold it."""
    within: float | None
    """How far from the truth its values may be as we know them; None: ours do not compare, since conditions differ."""
    doing_nothing: Callable[[Record, str], float | None] = lambda record, what: None
    regime: str = ""
    """The regime of our grid whose conditions are the paper's; records of another get no verdict."""
    """The same of the policy that does nothing, where it says more than another model would."""


def ours_beside(published: Published, records: Sequence[Record]) -> list[tuple[str, Record, Interval]]:
    """What was measured, the record that holds it, and our value, in the order of the paper."""
    return [
        (what, record, interval)
        for what in published.values
        for record in records
        if (interval := published.ours(record, what)) is not None
    ]


def verdict(published: Published, what: str, record: Record, ours: Interval) -> str:
    """Ours beside the paper's: above or below it where our whole interval is, else level; "" where nothing compares."""
    value, regime = published.values[what].get(record.model), split_point(record.point)[1]
    if value is None or published.within is None or regime not in ("", published.regime):
        return ""
    ends = [float(number) for number in re.findall(r"-?[0-9.]+", value)]
    if ours.low > max(ends) + published.within:
        return "above"
    return "below" if ours.high < min(ends) - published.within else "level"


def _mmer(record: Record, task: str) -> Interval | None:
    by_seed = max_mean_episodic_reward(read_metrics(record)) if task in record.tasks else {}
    if not by_seed:
        return None
    [interval] = bootstrap([np.array(list(by_seed.values())).reshape(-1, 1, 1)])
    return interval


def _return_at_point(record: Record, point: str) -> Interval | None:
    return last_return(record) if split_point(record.point)[0] == point else None


def _return_of_trial(record: Record, trial: str) -> Interval | None:
    index = int(trial.removeprefix("trial ")) - 1
    return mean_returns(record, "train")[index] if index < record.trials else None


def _return_of_1000_steps(record: Record, task: str) -> Interval | None:
    if task not in record.tasks:
        return None
    return task_returns(record, task)[record.last_trial].scaled(1000 / record.trial_steps)


def _nothing_of_1000_steps(record: Record, task: str) -> float | None:
    return record.reference(task).do_nothing * 1000 / record.trial_steps


PAPER = {
    "memory_length": Published(
        "return",
        f"figure 1, {BY_EYE}; 10,000 episodes, 5 seeds, an unroll of 32 as in our regime `truncated`",
        {
            "4": {"s5": "1.0"},
            "8": {"s5": "1.0"},
            "16": {"s5": "1.0", "lstm": "0.85"},
            "32": {"s5": "1.0", "lstm": "0.5", "transformer": "0.75"},
            "64": {"s5": "1.0", "lstm": "0.1 to 0.35"},
            "128": {"s5": "1.0", "lstm": "0.1 to 0.35"},
            "256": {"s5": "1.0", "lstm": "0.1 to 0.35"},
            "512": {"s5": "1.0", "lstm": "0.1 to 0.35", "transformer": "0.7"},
            "1024": {"s5": "0.5", "transformer": "-0.25"},
            "2048": {"s5": "0"},
        },
        _return_at_point,
        0.02,
        regime="truncated",
    ),
    "popgym": Published(
        "MMER",
        "a table of its appendix; 15 M env steps, 8 seeds",
        {
            "stateless_cartpole_hard": {"s5": "1.00", "gru": "1.00", "mlp": "0.26"},
            "noisy_stateless_cartpole_hard": {"s5": "0.28", "gru": "0.27", "mlp": "0.22"},
            "stateless_pendulum_hard": {"s5": "0.79", "gru": "0.75", "mlp": "0.41"},
            "noisy_stateless_pendulum_hard": {"s5": "0.55", "gru": "0.61", "mlp": "0.34"},
            "repeat_previous_hard": {"s5": "0.91", "gru": "-0.46", "mlp": "-0.48"},
        },
        _mmer,
        0.005,
    ),
    "meta_cartpole": Published(
        "return per trial",
        f"figure 3, {BY_EYE}; about 50 M env steps, 4 seeds",
        {
            "trial 1": {"s5": "0.27", "s5_no_reset": "0.10", "gru": "0.13", "mlp": "0.175"},
            "trial 16": {"s5": "0.46", "gru": "0.425", "mlp": "0.175"},
            "trial 32": {"s5": "0.405", "s5_no_reset": "0.39", "gru": "0.32", "mlp": "0.175"},
        },
        _return_of_trial,
        None,
    ),
    "meta_dm_control": Published(
        "return of 1000 control steps",
        f"figures 5 and 6, {BY_EYE}; 2 billion frames, 3 seeds; ours scaled to 1000 steps from shorter trials",
        {
            "ball_in_cup_catch": {"s5": "945", "lstm": "925", "mlp": "140"},
            "cartpole_swingup": {"s5": "640", "lstm": "530", "mlp": "160"},
            "finger_spin": {"s5": "820", "lstm": "490", "mlp": "35"},
            "finger_turn_hard": {"s5": "760", "lstm": "430", "mlp": "320"},
            "point_mass_easy": {"s5": "810", "lstm": "780", "mlp": "5"},
            "reacher_easy": {"s5": "915", "lstm": "905", "mlp": "735"},
            "cartpole_balance": {"s5": "435", "lstm": "285", "mlp": "230"},
            "finger_turn_easy": {"s5": "800", "lstm": "415", "mlp": "385"},
            "pendulum_swingup": {"s5": "1 to 5", "lstm": "1 to 5", "mlp": "1 to 5"},
            "point_mass_hard": {"s5": "700", "lstm": "685", "mlp": "0"},
            "reacher_hard": {"s5": "600", "lstm": "615", "mlp": "290"},
        },
        _return_of_1000_steps,
        None,
        _nothing_of_1000_steps,
    ),
}
"""By experiment."""
