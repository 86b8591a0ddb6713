"""What the paper published stands beside the same measure of our records."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icrl.commands.report import report
from icrl.records import Record
from icrl.report.comparison import MODEL_LABELS
from icrl.report.paper import PAPER, ours_beside, verdict
from icrl.report.statistics import Interval
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import parse

Data = dict[str, Any]


def renamed(data: Data, task: str, **changes: Any) -> Data:
    """The record with its training task alone, under another name."""
    return data | {"tasks": {task: data["tasks"]["pendulum"]}} | changes


@pytest.fixture
def popgym_record(tmp_path: Path, make_data: Callable[..., Data]) -> Path:
    """Of two seeds whose best updates gave 0.5 and 0.75."""
    folder = tmp_path / "records" / "popgym" / "cpu"
    folder.mkdir(parents=True)
    task = "repeat_previous_hard"
    data = renamed(make_data("gru", references=False), task, experiment="popgym", rung="", trials_per_episode=1)
    (folder / "gru.json").write_text(json.dumps(data))
    best = {0: (0.5, 0.25), 1: (-0.5, 0.75)}
    lines = [{"seed": seed, "env_steps": 1, "return/mean": mean} for seed, means in best.items() for mean in means]
    (folder / "gru.metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_popgym_is_compared_by_mmer(popgym_record: Path):
    report(popgym_record)
    [row] = [line for line in (popgym_record / "README.md").read_text().splitlines() if "| -0.46 |" in line]
    assert row.startswith("| repeat previous hard | GRU | -0.46 | 0.6")  # (0.5 + 0.75) / 2
    assert row.endswith("[0.50, 0.75] | above | 2 | 4,096 |")


def test_a_verdict_needs_the_whole_interval_beyond_what_the_paper_says(make_data: Callable[..., Data]):
    memory, record = PAPER["memory_length"], replace(parse(Record, make_data("lstm")), point="512-truncated")
    cases = {(0.4, 0.9): "above", (0.3, 0.5): "level", (0.0, 0.1): "level", (-0.2, 0.05): "below"}
    for (low, high), expected in cases.items():
        assert verdict(memory, "512", record, Interval(low, low, high)) == expected  # the paper: 0.1 to 0.35
    one = Interval(1, 1, 1)
    assert verdict(memory, "2048", record, one) == ""  # not in the paper
    assert verdict(memory, "512", replace(record, point="512-full"), one) == ""  # of other conditions than the paper's
    assert verdict(PAPER["meta_dm_control"], "finger_spin", record, one) == ""


def test_cartpole_is_compared_trial_by_trial_as_far_as_ours_went(make_data: Callable[..., Data]):
    record = parse(Record, renamed(make_data(), "stateless_cartpole"))
    [(what, _, interval)] = ours_beside(PAPER["meta_cartpole"], [record])
    assert (what, interval.estimate) == ("trial 1", 15.0)


def test_control_returns_are_scaled_to_1000_steps(make_data: Callable[..., Data]):
    record = parse(Record, renamed(make_data(references=False), "finger_spin"))
    [(what, _, interval)] = ours_beside(PAPER["meta_dm_control"], [record])
    assert (what, interval.estimate) == ("finger_spin", 25.0 * 1000 / 4)


def test_memory_length_is_compared_at_its_point(make_data: Callable[..., Data]):
    record = parse(Record, make_data())
    values = [ours_beside(PAPER["memory_length"], [replace(record, point=point)]) for point in ("64", "7", "")]
    assert [[(what, i.estimate) for what, _, i in found] for found in values] == [[("64", 25.0)], [], []]


def test_nothing_of_ours_no_table(results: Path):
    report(results)
    assert "Beside the paper" not in (results / "README.md").read_text()


@pytest.mark.parametrize("experiment", PAPER)
def test_what_the_paper_measured_is_what_a_spec_of_ours_trains(experiment: str):
    spec = load_experiment(experiment)
    models = {model for values in PAPER[experiment].values.values() for model in values}
    assert models <= set(MODEL_LABELS)
    assert spec.name == experiment
