"""`icrl reproduce` runs, records and reports everything: past failures, not past an interruption, nothing twice."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from icrl.commands import reproduce as command
from icrl.commands.reproduce import reproduce
from icrl.errors import MachineError, UserError
from icrl.launch import process
from icrl.launch.runs import Run, runs_of
from icrl.runs.provenance import made_with
from icrl.spec.parse import to_dict
from tests.commands.runs import ROOT, STAND_IN, TINY
from tests.launch.conftest import Grid
from tests.report.conftest import make_record

A_S5 = "train a.yaml --model s5 --scale cpu"
A_GRU = A_S5.replace("s5", "gru")
B_S5 = A_S5.replace("a.yaml", "b.yaml")


def test_every_model_of_every_spec_is_trained_and_recorded_then_reported(grid: Grid):
    reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == [A_S5, A_GRU, B_S5, "report"]
    assert grid.records("a") == {
        f"cpu/{model}{suffix}": f"{what} a-cpu-{model}"
        for model in ("gru", "s5")
        for suffix, what in ((".json", "evaluated"), (".metrics.jsonl", "trained"))
    }


def test_the_scale_is_passed_on(grid: Grid):
    reproduce(["b.yaml"], scale="smoke", jobs=1)
    assert grid.calls() == [B_S5.replace("cpu", "smoke"), "report"]
    assert set(grid.records("b")) == {"smoke/s5.json", "smoke/s5.metrics.jsonl"}


def test_a_point_of_a_grid_is_part_of_the_command_and_of_the_record_s_name(grid: Grid):
    grid.write("b.yaml", models=["s5"], grid={4: {}, 8: {}})
    reproduce(["b.yaml"], scale="cpu", jobs=1)
    assert grid.calls() == [f"{B_S5} --point=4", f"{B_S5} --point=8", "report"]
    assert {"cpu/s5-4.json", "cpu/s5-8.json"} <= set(grid.records("b"))


def test_again_trains_only_what_is_not_recorded(grid: Grid, capsys: pytest.CaptureFixture[str]):
    reproduce(grid.specs, scale="cpu", jobs=1)
    grid.calls()
    reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == ["report"]
    assert "3 runs, 3 of them recorded already\n" in capsys.readouterr().err
    grid.write("b.yaml", models=["s5"], num_rows=8)
    reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == [f"{B_S5} --out results/runs/b/cpu/s5/seed0.2", "report"]
    reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == ["report"]


def test_a_dry_run_says_of_every_run_what_it_is_for_whether_it_is_recorded_and_how_long_it_takes(
    grid: Grid, capsys: pytest.CaptureFixture[str]
):
    """By the records: of the same point, else of another by env steps; on this machine, else on another."""
    record = {"num_seeds": {"s5": 2, "gru": 1}, "off_grid": True, "purpose": "figure 7", "references": True}
    grid.write("a.yaml", ["s5", "gru"], record=record, grid={"long": {"total_env_steps": 1024}})
    machine = to_dict(made_with()["machine"])

    def leave(run: Run, speed: float, **fields: Any) -> None:
        spec = run.experiment
        steps = {"env_steps": spec.all_env_steps, "train_env_steps_per_second": speed, "seconds": 10.0}
        data = make_record(spec.model_name) | {"experiment": spec.name, "scale": "cpu", "point": spec.point, **steps}
        run.record_path().parent.mkdir(parents=True, exist_ok=True)  # of two seeds
        run.record_path().write_text(json.dumps(data | fields))
        run.record_path(".spec.yaml").write_text(yaml.safe_dump(to_dict(spec)))

    s5, gru, long_s5, long_gru = runs_of("a.yaml", "cpu")
    leave(s5, s5.experiment.all_env_steps / 20, machine=machine)
    leave(replace(long_gru, experiment=replace(long_gru.experiment, seed=7)), 1024 / 1800, seeds=[7, 8])
    (run,) = [run for run in grid.runs() if run.experiment.name == "b"]
    run.directory.mkdir(parents=True)
    (run.directory / "spec.yaml").write_text(yaml.safe_dump(to_dict(run.experiment)))
    kept = {"layout": 1, "status": "interrupted", "id": "0", "started": "", "seconds": 0, "num_resumes": 0}
    (run.directory / "manifest.json").write_text(json.dumps(kept))
    (run.directory / "metrics.jsonl").write_text(
        json.dumps({"update": 4, "env_steps": run.experiment.all_env_steps / 4})
    )
    reproduce(grid.specs, scale="cpu", dry_run=True, jobs=2)
    assert grid.calls() == []
    lines = [re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:9] == [
        ["a, cpu scale: figure 7"],
        [s5.command, "recorded", "50 s"],
        [gru.command, "missing", "15 min**"],
        [long_s5.command, "missing", "2 min**"],
        [long_gru.command, "recorded with 0 of 1 seeds", "30 min*"],
        ["4 runs, 48 min; to do: 47 min"],
        [""],
        ["b, cpu scale"],
        [run.command, "missing, 25% trained", "unknown"],
    ]
    assert lines[11] == ["icrl references a.yaml --scale cpu", "missing", "unknown"]
    total = "6 runs, 48 min and 2 unknown; to do: 47 min and 2 unknown, 32 min with 2 at once"
    assert lines[12] == [f"all experiments: {total}"]


def test_what_scores_are_measured_against_is_made_first_where_it_is_missing(grid: Grid):
    grid.write("a.yaml", models=["s5"], record={"references": True})
    reproduce(["a.yaml"], scale="cpu", jobs=1)
    assert grid.calls() == ["references a.yaml --scale cpu", A_S5, "report"]
    lines = {"cartpole_centre": {"random": 0.0, "do_nothing": 0.0, "specialist": 1.0}}
    known = {"schema": 1, "experiment": "a", "trial_steps": 4, "command": "icrl references a.yaml", "references": lines}
    Path("results/references").mkdir()
    Path("results/references/a.json").write_text(json.dumps(known))
    reproduce(["a.yaml"], scale="cpu", jobs=1)
    assert grid.calls() == ["report"]


def test_a_failure_does_not_stop_the_rest_and_is_named_at_the_end(grid: Grid):
    grid.act(FAIL="--model gru")
    with pytest.raises(MachineError) as caught:
        reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == [A_S5, A_GRU, B_S5, "report"]
    log = "results/runs/a/cpu/gru/seed0/train.log"
    assert str(caught.value) == f"failed:\nicrl {A_GRU}: exit code 2, log {log}"
    assert "cpu/gru.json" not in grid.records("a")
    grid.rest("FAIL")
    reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == [A_GRU, "report"]


def test_a_wrong_spec_does_not_stop_the_rest_and_is_named_at_the_end(grid: Grid):
    Path("a.yaml").write_text("scales: {cpu: }\n")
    with pytest.raises(MachineError, match=r"^failed:\na\.yaml: .*models"):
        reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == [B_S5, "report"]


def test_a_report_that_fails_is_named(grid: Grid):
    grid.act(FAIL="report")
    with pytest.raises(MachineError, match=r"^failed:\nicrl report: exit code 2$"):
        reproduce(["b.yaml"], scale="cpu", jobs=1)


def test_an_interruption_ends_everything_and_keeps_what_is_finished(grid: Grid):
    grid.act(WARN="--model gru", SIGNAL="SIGTERM")
    with pytest.raises(KeyboardInterrupt):
        reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == [A_S5, A_GRU, "checkpoint"]
    assert set(grid.records("a")) == {"cpu/s5.json", "cpu/s5.metrics.jsonl"}
    reproduce(grid.specs, scale="cpu", jobs=1)
    assert grid.calls() == [A_GRU, B_S5, "report"]


def test_all_shipped_specs_are_run_by_default_and_the_timings_made(grid: Grid, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "shipped_specs", lambda: dict.fromkeys([*grid.specs, "benchmark"]))
    reproduce(scale="smoke", jobs=1)
    assert [call.split()[0] for call in grid.calls()] == ["train", "train", "train", "report"]
    reproduce(scale="cpu", jobs=1)
    sweep = "benchmark --seq-len sweep --throughput --scan"
    learners = "benchmark meta_brax --throughput --models s5,s5_muesli,lstm,lstm_muesli"
    assert grid.calls() == [A_S5, A_GRU, B_S5, sweep, learners, "report"]
    Path("results/benchmark/meta_brax").mkdir(parents=True)
    for name in ("benchmark", "throughput", "scan"):
        Path("results/benchmark", f"{name}.json").touch()
    reproduce(scale="cpu", jobs=1)
    assert grid.calls() == [learners, "report"]
    Path("results/benchmark/meta_brax/throughput.json").touch()
    reproduce(scale="cpu", jobs=1)
    assert grid.calls() == ["report"]


def test_without_submitit_slurm_is_refused_with_the_command_that_installs_it(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("icrl.launch.cluster.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^--launcher: got 'slurm', .*run: pip install 'icrl\[cluster\]'$"):
        reproduce(grid.specs, scale="cpu", launcher="slurm")
    assert grid.calls() == []


def test_real_runs_are_trained_recorded_and_reported_or_only_evaluated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'src'}")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setattr(process, "ICRL", (sys.executable, "-m", STAND_IN))
    reproduce([str(TINY)], scale="cpu")
    records = tmp_path / "results" / "records" / "tiny" / "cpu"
    assert sorted(path.name for path in records.glob("*.json")) == ["mlp.json", "s5.json"]
    assert (tmp_path / "results" / "README.md").exists()
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.glob("results/runs/**/*")}
    monkeypatch.setattr(process, "ICRL", ("true",))
    reproduce([str(TINY)], scale="cpu")
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.glob("results/runs/**/*")} == before
    monkeypatch.setattr(process, "ICRL", (sys.executable, "-m", STAND_IN))
    text = TINY.read_text().replace("episodes_per_task: 4", "episodes_per_task: 3")
    Path("tiny.yaml").write_text(f"{text}\nrecord: {{num_seeds: {{mlp: 1}}}}\n")
    reproduce(["tiny.yaml"], scale="cpu")
    record = json.loads((records / "mlp.json").read_text())
    assert record["num_episodes"] == 3
    checkpoints = tmp_path / "results" / "runs" / "tiny" / "cpu" / "mlp" / "seed0" / "checkpoints"
    assert all(before[path] == path.lstat().st_mtime_ns for path in checkpoints.glob("**/*") if path.is_file())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], "--scale cpu --launcher local"),
        (["SCALE=smoke"], "--scale smoke --launcher local"),
        (["SCALE=paper", "LAUNCHER=slurm"], "--scale paper --launcher slurm"),
    ],
)
def test_make_reproduce_all_is_this_command(variables: list[str], expected: str):
    command = ["make", "--no-print-directory", "-n", "reproduce-all", *variables]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].endswith(f"-m icrl reproduce {expected}")
    assert ("[cluster]" in done.stdout) == ("LAUNCHER=slurm" in variables)
