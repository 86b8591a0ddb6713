"""Synthetic evaluation records, small enough to check by hand."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

Data = dict[str, Any]

REFERENCES = {
    "pendulum": {"random": 10.0, "do_nothing": 4.0, "specialist": 30.0},
    "reacher": {"random": -60.0, "do_nothing": -40.0, "specialist": 0.0},
}
"""Floors 10 and -40, so a score of 1 is worth 20 and 40 of return."""


def make_record(model: str = "s5", rung: str = "sign", shift: float = 0.0, references: bool = True) -> Data:
    """The JSON object of a record: 2 seeds, 2 episodes, 2 trials of 4 steps, on two tasks.

    On the pendulum (training) the mean score is 0.25 at the first trial and 0.75 at the last, on the reacher
    (held out) 0.50 and 1.00; `shift` is added to the score of the last trial.
    """
    last = {"pendulum": 25.0 + 20.0 * shift, "reacher": 40.0 * shift}
    data: Data = {
        "schema": 1,
        "experiment": "probe",
        "model": model,
        "scale": "smoke",
        "rung": rung,
        "env_steps": 4096,
        "git_commit": "0123456789abcdef",
        "command": f"icrl evaluate probe --model {model}",
        "machine": {"cores": 2, "devices": ["cpu"]},
        "trials_per_episode": 2,
        "trial_steps": 4,
        "trials": 2,
        "num_episodes": 2,
        "seconds": 1.25,
        "num_parameters": 1234,
        "train_seconds": 60.4,
        "train_env_steps_per_second": 5432.1,
        "seeds": [0, 1],
        "tasks": {
            "pendulum": {
                "split": "train",
                "returns": [
                    [[14.0, last["pendulum"] - 1.0], [16.0, last["pendulum"] + 1.0]],
                    [[15.0, last["pendulum"] - 2.0], [15.0, last["pendulum"] + 2.0]],
                ],
                "reward_by_step": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]] * 2,
                "random": 9.0,
                "do_nothing": 5.0,
            },
            "reacher": {
                "split": "held_out",
                "returns": [[[-20.0, last["reacher"]]] * 2] * 2,
                "reward_by_step": [[-5.0] * 8, [-3.0] * 8],
                "random": -59.0,
                "do_nothing": -41.0,
            },
        },
    }
    return data | {"references": deepcopy(REFERENCES)} if references else data


@pytest.fixture
def make_data() -> Callable[..., Data]:
    """`make_record`."""
    return make_record


@pytest.fixture
def results(tmp_path: Path, make_data: Callable[..., Data]) -> Path:
    """A results folder: two models on signs, one at the point of Gaussian projections too, references, metrics."""
    folder = tmp_path / "results"
    records = folder / "records" / "probe" / "smoke"
    records.mkdir(parents=True)
    (folder / "references").mkdir()
    for name, data in {
        "s5": make_data("s5", references=False),
        "mlp": make_data("mlp", shift=-0.5, references=False),
        "s5-gaussian": make_data("s5", "gaussian", shift=-0.25, references=False) | {"point": "gaussian"},
    }.items():
        (records / f"{name}.json").write_text(json.dumps(data))
    references = {
        "schema": 1,
        "experiment": "probe",
        "trial_steps": 4,
        "command": "icrl references probe",
        "references": REFERENCES,
    }
    (folder / "references" / "probe.json").write_text(json.dumps(references))
    lines = [
        {"seed": seed, "env_steps": env_steps, "return/last_trial": env_steps + 10.0 * seed}
        for env_steps in (0, 100, 200)
        for seed in (0, 1)
    ]
    (records / "s5.metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
