"""What W&B is told when `icrl train` has evaluated its agents."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from icrl.runs.trackers import MemoryTracker
from tests.commands.conftest import Finished
from tests.commands.runs import documented_keys, evaluated, train


def test_wandb_has_the_evaluation_in_an_offline_run(finished: Finished):
    (offline,) = (finished.path / "wandb").glob("offline-run-*")
    assert list(offline.glob("*.wandb"))
    (table,) = (json.loads(path.read_text()) for path in offline.glob("files/media/table/evaluation/by_trial_*.json"))
    assert table["columns"] == ["split", "task", "trial", "return", "score"]
    assert [row[:3] for row in table["data"]] == [
        ["train", "cartpole_centre", 1],
        ["train", "cartpole_centre", 2],
        ["held_out", "cartpole_side", 1],
        ["held_out", "cartpole_side", 2],
    ]
    returns = evaluated(finished.path)["cartpole_side"]["returns"][0]
    assert table["data"][3][3:] == [pytest.approx(np.mean([trials[1] for trials in returns])), None]
    images = {path.name.split("_")[0] for path in offline.glob("files/media/images/evaluation/*.png")}
    assert {"adaptation", "bars", "reward-by-step"} <= images


def test_every_seed_s_tracker_is_told_how_its_own_agent_adapts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trackers = {}
    monkeypatch.setattr(
        "icrl.commands.train.WandbTracker",
        lambda mode, *, seed, spec, **_: trackers.setdefault(seed, (MemoryTracker(), spec))[0],
    )
    lines = {"specialist": 4.0, "random": 2.0, "do_nothing": 1.0}
    references = {"schema": 1, "experiment": "tiny", "trial_steps": 4, "command": "icrl references tiny"}
    Path("results/references").mkdir(parents=True)
    Path("results/references/tiny.json").write_text(json.dumps({**references, "references": {"cartpole_side": lines}}))
    small = ("--num-seeds", 2, "total_env_steps=64", "evaluation.trials=3")
    assert train(tmp_path / "run", *small).exit_code == 0
    for index, (seed, (tracker, spec)) in enumerate(trackers.items()):
        assert (seed, spec["num_seeds"], spec["model"]["kind"]) == (index, 2, "s5")
        ((summary, rows, figures),) = tracker.evaluations
        assert tracker.is_finished
        assert (summary.pop("update"), summary.pop("env_steps")) == (2, 64)
        means = {name: np.mean(task["returns"][index], axis=0) for name, task in evaluated(tmp_path / "run").items()}
        assert [(row["task"], row["trial"], row["return"]) for row in rows] == [
            (name, trial + 1, pytest.approx(mean[trial])) for name, mean in means.items() for trial in range(3)
        ]
        assert [row["score"] for row in rows] == [None] * 3 + [
            pytest.approx((value - 2) / 2) for value in means["cartpole_side"]
        ]
        assert summary == {  # the last trial is the last that training knew
            "evaluation/return/train/first_trial": pytest.approx(means["cartpole_centre"][0]),
            "evaluation/return/train/last_trial": pytest.approx(means["cartpole_centre"][1]),
            "evaluation/return/held_out/first_trial": pytest.approx(means["cartpole_side"][0]),
            "evaluation/return/held_out/last_trial": pytest.approx(means["cartpole_side"][1]),
            "evaluation/score/held_out/first_trial": pytest.approx((means["cartpole_side"][0] - 2) / 2),
            "evaluation/score/held_out/last_trial": pytest.approx((means["cartpole_side"][1] - 2) / 2),
        }
        assert figures["adaptation"].is_file()
        keys = {re.sub("/(train|held_out)/", "/<split>/", key) for key in summary}
        assert keys | {"evaluation/by_trial", "evaluation/<figure>"} == documented_keys("W&B")
