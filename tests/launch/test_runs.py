"""Which runs there are, which are finished, and what becomes a record."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from icrl.launch.runs import Run, runs_of
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import to_dict
from tests.launch.conftest import Grid, evaluation

KEPT = {"id": "0", "started": "2026-01-01T00:00:00+00:00", "seconds": 0, "num_resumes": 0}
"""What a manifest needs besides."""


def leave(run: Run, status: str = "done", **fields: Any) -> Path:
    """A run directory of the run's spec with these fields changed, whose files say which one it is."""
    experiment = load_experiment(run.spec, scale="cpu", model=run.experiment.model_name, **fields)
    folder = experiment.default_directory
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(to_dict(experiment)))
    (folder / "manifest.json").write_text(json.dumps({"layout": 1, "status": status, **KEPT}))
    (folder / "evaluation.json").write_text(evaluation(experiment, f"evaluation of {folder.name}"))
    (folder / "metrics.jsonl").write_text(f"metrics of {folder.name}")
    return folder


def first(grid: Grid) -> Run:
    return grid.runs()[0]


def test_a_grid_s_runs_are_every_model_at_every_point_of_the_scale(grid: Grid):
    scales = {"cpu": {"grid": {8: {"seed": 8}}}, "smoke": None}
    grid.write("a.yaml", models=["s5", "gru"], grid={4: {"seed": 4}}, scales=scales)

    def found(scale: str) -> list[str]:
        return [run.name for run in runs_of("a.yaml", scale)]

    assert found("cpu") == ["a cpu s5 4", "a cpu gru 4", "a cpu s5 8", "a cpu gru 8"]
    assert found("smoke") == ["a smoke s5 4", "a smoke gru 4"]
    assert [run.experiment.seed for run in runs_of("a.yaml", "cpu")] == [4, 4, 8, 8]


def test_a_spec_says_which_models_are_recorded_where_and_with_how_many_seeds(grid: Grid):
    record = {"num_seeds": {"s5": 3, "gru": 2}}
    points = {"hard": {"seed": 5, "record": {"num_seeds": {"gru": 1}, "purpose": "figure 2"}}}
    grid.write("a.yaml", models=["s5", "gru"], record=record | {"purpose": "figure 1"}, grid=points)
    assert [run.command for run in runs_of("a.yaml", "cpu")] == [
        "icrl train a.yaml --model gru --scale cpu --point=hard --num-seeds 1"
    ]
    grid.write("a.yaml", models=["s5", "gru"], record=record | {"purpose": "figure 1", "off_grid": True}, grid=points)
    runs = list(runs_of("a.yaml", "cpu"))
    assert [(run.name, run.purpose, run.experiment.seeds) for run in runs] == [
        ("a cpu s5", "figure 1", range(3)),
        ("a cpu gru", "figure 1", range(2)),
        ("a cpu gru hard", "figure 2", range(5, 6)),
    ]
    assert runs[0].command == "icrl train a.yaml --model s5 --scale cpu --num-seeds 3"
    leave(runs[0])
    assert not runs[0].record()
    leave(runs[0], num_seeds=2)
    assert not runs[0].record()
    leave(runs[0], num_seeds=3)
    assert runs[0].record()


def test_what_a_record_lacks_is_said(grid: Grid):
    run = first(grid)
    assert run.why_unrecorded() == "missing"
    leave(run)
    assert run.record()
    grid.write("a.yaml", models=["s5"], total_env_steps=1024, record={"num_seeds": {"s5": 3}})
    assert first(grid).why_unrecorded() == "recorded with another spec, total_env_steps: 512 -> 1024"
    grid.write("a.yaml", models=["s5"], record={"num_seeds": {"s5": 3}})
    assert first(grid).why_unrecorded() == "recorded with 1 of 3 seeds"
    Path("results/records/a/cpu/s5.spec.yaml").unlink()
    assert first(grid).why_unrecorded() == "recorded without a readable spec"


def test_a_run_goes_beside_one_of_another_spec_and_is_found_there(grid: Grid):
    folder = Path("results/runs/a/cpu/s5/seed0.2")
    run = first(grid)
    leave(run, overrides=["total_env_steps=1024"])
    assert (run.directory, run.log) == (folder, folder / "train.log")
    assert run.command == f"icrl train a.yaml --model s5 --scale cpu --out {folder}"
    leave(run, num_seeds=2).rename(folder)
    assert run.directory == folder.with_suffix(".3")
    (folder / "spec.yaml").write_text(yaml.safe_dump(to_dict(run.experiment)))
    assert run.directory == folder
    assert run.record()


def test_a_finished_run_is_recorded_where_the_report_reads_it(grid: Grid):
    run = first(grid)
    leave(run)
    assert run.record()
    assert run.is_recorded()
    assert grid.records("a") == {"cpu/s5.json": "evaluation of seed0", "cpu/s5.metrics.jsonl": "metrics of seed0"}


def test_what_is_not_finished_is_not_recorded(grid: Grid):
    run = first(grid)
    folder = leave(run, status="interrupted")
    assert not run.record()
    (folder / "manifest.json").write_text(json.dumps({"layout": 1, "status": "done", **KEPT}))
    (folder / "evaluation.json").unlink()
    assert not run.record()
    assert grid.records("a") == {}


def test_an_evaluation_that_the_spec_does_not_describe_is_not_recorded(grid: Grid):
    """`icrl evaluate RUN --trials 8` leaves one; `icrl train` makes the run's own again."""
    run = first(grid)
    file = leave(run) / "evaluation.json"
    file.write_text(evaluation(run.experiment, "of other trials", "--trials 8"))
    assert not run.record()
    early = replace(run.experiment, total_env_steps=1)
    file.write_text(evaluation(early, "of an early checkpoint"))
    assert not run.record()
    for damaged in ("[]", "{", "{}"):
        file.write_text(damaged)
        assert not run.record()
    file.write_text(evaluation(run.experiment, "its own"))
    assert run.record()


def test_a_run_of_another_spec_is_not_recorded(grid: Grid):
    run = first(grid)
    leave(run, overrides=["learner.learning_rate=1e-2"])
    assert not run.record()


def test_a_run_of_other_seeds_is_not_recorded(grid: Grid):
    run = first(grid)
    leave(run, seed=1, num_seeds=2)
    assert not run.record()


def test_of_several_finished_runs_the_one_with_the_most_seeds_is_recorded_whatever_their_age(grid: Grid):
    run = first(grid)
    leave(run, num_seeds=3)
    leave(run)
    leave(run, seed=5, num_seeds=9)
    assert run.record()
    assert grid.records("a")["cpu/s5.json"] == "evaluation of seeds0-2"


def test_a_record_gives_way_only_to_one_of_more_seeds(grid: Grid):
    run = first(grid)
    folder = leave(run, num_seeds=2)
    run.record()
    (folder / "evaluation.json").write_text(evaluation(run.experiment, "evaluated again"))
    assert run.record()
    assert grid.records("a")["cpu/s5.json"] == "evaluation of seeds0-1"
    leave(run, num_seeds=3)
    assert run.record()
    assert grid.records("a")["cpu/s5.json"] == "evaluation of seeds0-2"


def test_a_record_holds_for_its_spec_alone(grid: Grid):
    leave(first(grid))
    assert first(grid).record()
    grid.write("a.yaml", models=["s5"], resources={"cpus": 2, "hours": 8}, wandb="disabled")
    assert first(grid).is_recorded()
    grid.write("a.yaml", models=["s5"], total_env_steps=1024)
    assert not first(grid).is_recorded()


def test_a_record_without_its_spec_or_with_a_damaged_one_does_not_count(grid: Grid):
    run = first(grid)
    leave(run)
    run.record()
    spec = Path("results/records/a/cpu/s5.spec.yaml")
    spec.write_text("num_rows: many\n")
    assert not run.is_recorded()
    spec.unlink()
    assert not run.is_recorded()
    assert run.record()
    assert run.is_recorded()


def test_a_damaged_run_directory_counts_as_none(grid: Grid):
    run = first(grid)
    folder = leave(run)
    (folder / "manifest.json").write_text("{")
    assert run.finished() is None
