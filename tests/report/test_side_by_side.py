"""Runs side by side: what they are called, which evaluations compare, and what the tables say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icrl.records import Record
from icrl.report.side_by_side import Contender, comparable, names_of, write_side_by_side
from icrl.spec.parse import parse


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["runs/x/cpu/s5/seed0", "runs/x/cpu/gru/seed0"], ["s5", "gru"]),
        (["runs/x/cpu/s5/seed0", "runs/x/cpu/gru/seed1"], ["s5 seed0", "gru seed1"]),
        (["runs/mine", "runs/yours"], ["mine", "yours"]),
        (["runs/mine"], ["mine"]),
        (["runs", "runs/inner"], ["runs", "runs inner"]),
        (["runs/s5", "runs/S5"], ["1 s5", "2 S5"]),
        (["a/s5", "a/b/s5"], ["1 s5", "2 s5"]),
        (["a/.s5", "a/" + 120 * "b"], ["1 .s5", "2 " + 98 * "b"]),
    ],
)
def test_a_run_is_named_after_what_its_path_has_of_its_own(
    folders: list[str], names: list[str], make_data: Callable[..., Any]
):
    found = names_of([Path(folder) for folder in folders])
    assert found == names
    records, _ = comparable([contender(name, make_data("s5")) for name in found])
    assert [record.model for record in records] == names


def contender(name: str, data: dict[str, Any] | None, **more: Any) -> Contender:
    spec = {"name": "probe", "model_name": "s5", "scale": "smoke", "seed": 0, "num_seeds": 2, "total_env_steps": 400}
    lines = [
        {"seed": seed, "env_steps": env_steps, "return/last_trial": env_steps + 10.0 * seed}
        for env_steps in (0, 100, 200)
        for seed in (0, 1)
    ]
    fields = {"model.kind": "s5", "model.width": 8, "learner.learning_rate": 1e-3}
    manifest = {"status": "running", "seconds": 90.0}
    record = parse(Record, data) if data else None
    return Contender(name, Path("runs", name), spec, manifest, lines, record, fields | more)


@pytest.fixture
def three(make_data: Callable[..., Any]) -> list[Contender]:
    """Two evaluated runs of one model, and one on its way."""
    slow = contender("slow", make_data("s5", shift=-0.5), **{"learner.learning_rate": 1e-4})
    other = {"model.kind": "gru", "model.window": 4}
    return [contender("fast", make_data("s5")), slow, contender("going", None, **other)]


def test_everything_that_is_there_is_written(three: list[Contender], tmp_path: Path):
    tables, paths = write_side_by_side(three, tmp_path)
    assert [path.name for path in paths] == ["learning.png", "adaptation.png", "tasks.png", "comparison.md"]
    assert all(path.stat().st_size > 500 for path in paths)
    document = paths[-1].read_text()
    for name in ("learning.png", "adaptation.png", "tasks.png"):
        assert f"]({name})" in document
    assert "| fast | probe smoke | s5 | 0 to 1 | running | 200 of 400 | 205.0 | 2 min | `runs/fast` |" in tables
    assert "| fast | 0.25 [" in tables and "] | 0.75 [" in tables
    assert "| slow | 0.25 [" in tables and "] | 0.25 [" in tables
    assert "Not evaluated yet: going." in tables
    differences = tables.partition("## In what their specs differ")[2]
    assert "| `learner.learning_rate` | 0.001 | 0.0001 | 0.001 |" in differences
    assert "| `model.kind` | 's5' | 's5' | 'gru' |" in differences
    assert "model.width" not in differences and "model.window" not in differences


def test_runs_that_have_only_begun_are_compared_as_far_as_they_are(three: list[Contender], tmp_path: Path):
    begun = [replace(run, metrics=[], record=None, fields={}) for run in three]
    tables, paths = write_side_by_side(begun, tmp_path)
    assert [path.name for path in paths] == ["comparison.md"]
    assert "| fast | probe smoke | s5 | 0 to 1 | running | 0 of 400 | – | 2 min | `runs/fast` |" in tables
    assert "No run is evaluated yet" in tables and "Their specs are the same" in tables


def test_only_tasks_that_all_share_are_compared(make_data: Callable[..., Any]):
    fewer = make_data("s5")
    del fewer["tasks"]["reacher"], fewer["references"]["reacher"]
    records, said = comparable([contender("all", make_data("s5")), contender("fewer", fewer)])
    assert [list(record.tasks) for record in records] == [["pendulum"], ["pendulum"]]
    assert [record.model for record in records] == ["all", "fewer"]
    assert said == "Tasks of some runs only, which count nowhere here: reacher."


def test_references_of_the_first_run_measure_all(make_data: Callable[..., Any]):
    with_them, without = contender("with", make_data("s5")), contender("without", make_data("s5", references=False))
    records, _ = comparable([with_them, without])
    assert [record.measure("train") for record in records] == ["score", "score"]


def test_evaluations_that_do_not_compare_are_told(make_data: Callable[..., Any]):
    longer = make_data("s5") | {"trial_steps": 8}
    for task in longer["tasks"].values():
        task["reward_by_step"] = [row * 2 for row in task["reward_by_step"]]
    records, said = comparable([contender("short", make_data("s5")), contender("long", longer)])
    assert records == []
    assert said.endswith("since their trials have other lengths (short: 4 steps, long: 8 steps).")
    elsewhere = make_data("s5")
    elsewhere["tasks"] = {f"other_{name}": task for name, task in elsewhere["tasks"].items()}
    elsewhere["references"] = {}
    records, said = comparable([contender("here", make_data("s5")), contender("there", elsewhere)])
    assert records == [] and "there is no task that all were evaluated on" in said


def test_an_evaluation_that_was_changed_is_told(make_data: Callable[..., Any]):
    changed = make_data("s5") | {"changes": ["--trials 2"]}
    _, said = comparable([contender("plain", make_data("s5")), contender("changed", changed)])
    assert said == "Evaluated otherwise than their specs say: changed (--trials 2)."


def test_a_task_that_needs_no_memory_counts_in_no_mean_as_in_the_report(make_data: Callable[..., Any]):
    s5, mlp = contender("mine", make_data("s5")), contender("plain", make_data("mlp"))
    records, _ = comparable([s5, mlp])
    assert [sorted(record.apart) for record in records] == [["pendulum", "reacher"]] * 2
