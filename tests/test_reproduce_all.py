"""`make reproduce-all` runs every model of every experiment: past failures, but not past an interruption."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "experiments" / "reproduce_all.sh"

STAND_IN = f"""#!/bin/sh
# Python that lists models for real but only notes the arguments of icrl. FAILING commands end with EXIT_CODE.
if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi
shift 2
echo "$*"
case "$*" in *"$FAILING"*) exit "$EXIT_CODE" ;; esac
if [ "$1" = train ]; then
    run=results/runs/$(basename "$2" .yaml)/$6/$4/$(echo "$7" | cut -d = -f 2)/seed0
    mkdir -p "$run" && echo "evaluated $4" >"$run/evaluation.json" && echo "trained $4" >"$run/metrics.jsonl"
fi
"""

Reproduce = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def reproduce(tmp_path: Path) -> Reproduce:
    """Runs the script on two experiments with a stand-in for Python."""
    (tmp_path / "experiments").mkdir()
    shutil.copy(SCRIPT, tmp_path / "experiments")
    (tmp_path / "experiments" / "a.yaml").write_text("models: {s5: {}, gru: {}}\n")
    (tmp_path / "experiments" / "b.yaml").write_text("models: {s5: {}}\n")
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def run(*arguments: str, failing: str = "nothing", exit_code: int = 1) -> subprocess.CompletedProcess[str]:
        environment = {"PYTHON": str(python), "FAILING": failing, "EXIT_CODE": str(exit_code)}
        script = tmp_path / "experiments" / SCRIPT.name
        command = [str(script), *arguments]
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)

    return run


A_S5 = "train experiments/a.yaml --model s5 --scale cpu"
A_GRU = A_S5.replace("s5", "gru")
B_S5 = A_S5.replace("a.yaml", "b.yaml")


def test_every_model_of_every_experiment_is_trained_then_reported(reproduce: Reproduce):
    done = reproduce()
    assert done.returncode == 0
    assert done.stdout.splitlines() == [A_S5, A_GRU, B_S5, "report"]


def test_the_benchmark_s_spec_is_timed_and_not_trained(reproduce: Reproduce, tmp_path: Path):
    (tmp_path / "experiments" / "benchmark.yaml").write_text("models: {s5: {}}\n")
    trained = [A_S5, A_GRU, B_S5]
    timed = "benchmark --seq-len sweep --throughput --scan"
    assert reproduce().stdout.splitlines() == [*trained, timed, "report"]
    assert timed not in reproduce("smoke").stdout


def test_what_training_found_is_recorded_where_the_report_reads_it(reproduce: Reproduce, tmp_path: Path):
    reproduce(failing="--model gru")
    records = tmp_path / "results" / "records" / "a" / "cpu"
    assert {path.name: path.read_text() for path in records.iterdir()} == {
        "s5.json": "evaluated s5\n",
        "s5.metrics.jsonl": "trained s5\n",
    }


def test_every_model_is_trained_and_recorded_at_every_point_of_a_grid(reproduce: Reproduce, tmp_path: Path):
    grid = "models: {s5: {}, gru: {}}\ngrid: {4: {}}\nscales: {cpu: {grid: {8: {}}}, smoke: }\n"
    (tmp_path / "experiments" / "a.yaml").write_text(grid)
    done = reproduce()
    points = [f"{command} --point={point}" for point in (4, 8) for command in (A_S5, A_GRU)]
    assert done.stdout.splitlines() == [*points, B_S5, "report"]
    records = tmp_path / "results" / "records" / "a" / "cpu"
    names = [f"{model}-{point}" for model in ("gru", "s5") for point in (4, 8)]
    assert sorted(path.stem for path in records.glob("*.json")) == names
    assert reproduce("smoke").stdout.splitlines()[:3] == [
        *(command.replace("--scale cpu", "--scale smoke") for command in points[:2]),
        B_S5.replace("cpu", "smoke"),
    ]


def test_the_scale_is_passed_on(reproduce: Reproduce):
    assert reproduce("smoke").stdout == reproduce().stdout.replace("cpu", "smoke")


def test_a_failure_does_not_stop_the_rest_and_is_named_at_the_end(reproduce: Reproduce):
    done = reproduce(failing="train experiments/a.yaml --model gru", exit_code=2)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [A_S5, A_GRU, B_S5, "report"]
    assert done.stderr.endswith(f"failed:\n  icrl {A_GRU} (exit code 2)\n")


def test_a_spec_without_models_is_named_at_the_end(reproduce: Reproduce, tmp_path: Path):
    (tmp_path / "experiments" / "a.yaml").write_text("seed: 0\n")
    done = reproduce()
    assert done.returncode == 1
    assert done.stdout.splitlines() == [B_S5, "report"]
    assert done.stderr.endswith("failed:\n  experiments/a.yaml (names no models)\n")


def test_an_interruption_ends_everything(reproduce: Reproduce):
    done = reproduce(failing="train experiments/a.yaml --model gru", exit_code=130)
    assert done.returncode == 130
    assert done.stdout.splitlines() == [A_S5, A_GRU]
