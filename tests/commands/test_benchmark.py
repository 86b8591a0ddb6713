"""`icrl benchmark` on the tiny spec: its records, tables and figure, and what it refuses."""

import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from icrl.commands import benchmark_scan, benchmark_throughput
from icrl.commands.benchmark_lengths import LONGEST, LONGEST_ON_CPU, SHORTEST, parse_lengths
from icrl.commands.benchmark_throughput import measure_training, variants
from icrl.errors import UserError
from icrl.spec.experiment_file import load_experiment
from icrl.timing.state_space import Shape
from tests.commands.runs import TINY, icrl

MADE_WITH = {"schema", "command", "git_commit", "machine", "peak_bytes"}


def test_lengths_are_timed_skipped_drawn_and_recorded(tmp_path: Path):
    spec = tmp_path / "timed.yaml"
    spec.write_text(TINY.read_text() + "\nbenchmark: {rows: 4, repetitions: 1, max_seconds: 1e-9}\n")
    done = icrl("benchmark", spec, "--seq-len", "4,8", "--models", "mlp", "--out", "timed")
    assert done.exit_code == 0, done.stderr
    result = json.loads(Path("timed/benchmark.json").read_text())
    assert set(result) >= MADE_WITH
    first, second = result["records"]
    assert (first["model"], first["length"], first["rows"]) == ("mlp", 4, 4)
    assert set(first["programs"]) == {"act", "forward", "gradient", "update"}
    assert "at 8 steps" in second["skipped"]
    assert f"skipped: mlp at 8: {second['skipped']}" in done.stdout
    assert done.stdout.split()[-2:] == ["timed/benchmark.json", "timed/benchmark.png"]
    assert Path("timed/benchmark.png").stat().st_size > 0
    assert "length 8" in done.stderr


@pytest.fixture
def two_tasks(tmp_path: Path) -> Path:
    """The tiny spec, trained on both of its tasks."""
    text = TINY.read_text().replace("train: [cartpole_centre]", "train: [cartpole_centre, cartpole_side]")
    path = tmp_path / "two_tasks.yaml"
    path.write_text(text.replace("held_out: [cartpole_side]", "held_out: []"))
    return path


def test_throughput_is_timed_part_by_part_and_by_size(two_tasks: Path, monkeypatch: pytest.MonkeyPatch):
    two_sizes = lambda experiment: [v for v in variants(experiment) if v[:2] in (("rows", 4), ("tasks", 1))]  # noqa: E731
    monkeypatch.setattr(benchmark_throughput, "variants", two_sizes)
    done = icrl("benchmark", two_tasks, "--throughput", "--models", "mlp,s5")
    assert done.exit_code == 0, done.stderr
    result = json.loads(Path("results/benchmark/two_tasks/throughput.json").read_text())
    assert set(result) >= MADE_WITH
    training, other = result["training"]
    assert (training["model"], other["model"], other["scaling"], other["families"]) == ("mlp", "s5", [], {})
    assert set(training["parts"]) == {"physics", "policy", "act", "learn", "update"}
    assert list(training["shares"]) == ["physics", "policy and bookkeeping, acting", "targets, acting", "learning"]
    for part in training["parts"].values():
        assert part["env_steps_per_second"] == pytest.approx(
            training["env_steps_per_update"] / part["seconds"]["median"]
        )
    assert training["limits"]["share_of_product_rate"] > 0
    assert [(record["axis"], record["value"]) for record in training["scaling"]] == [("rows", 4), ("tasks", 1)]
    chunk = training["training"]
    assert (chunk["devices"], chunk["env_steps"]) == (1, 2 * training["env_steps_per_update"])
    assert chunk["env_steps_per_second"] == pytest.approx(chunk["env_steps"] / chunk["seconds"]["median"])
    assert set(result["physics"]["env_steps_per_second"]) == {"bound", "switch"}
    assert "env steps/s" in done.stdout
    assert "with --devices 1" in done.stdout


def test_a_learner_of_one_step_and_actions_that_are_choices_are_timed_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_throughput, "variants", lambda experiment: ())
    experiment = load_experiment("memory_length", scale="smoke", model="lstm")
    rates = {"product_flops_per_second": 1e9, "copy_bytes_per_second": 1e9}
    training = measure_training(experiment, rates, Console(quiet=True), time.perf_counter, at_other_sizes=True)
    assert training["limits"]["gradient_steps"] == 1
    assert all(part["env_steps_per_second"] > 0 for part in training["parts"].values())


def test_the_scan_and_an_update_are_timed_against_the_plain_form(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_scan, "SHAPES", (Shape(4, 2, 4, 2),))
    done = icrl("benchmark", TINY, "--scan", "--scale", "cpu", "--out", "timed")
    assert done.exit_code == 0, done.stderr
    result = json.loads(Path("timed/scan.json").read_text())
    assert set(result) >= MADE_WITH
    [layer] = result["layers"]
    assert layer["auto"] == "parallel"  # of so few numbers a step
    assert set(layer["schedules"]) == {"plain", "parallel", "sequential", "chunked", "products"}
    assert result["update"]["size"] == "1 x 8, 8 steps, 8 rows"
    assert result["update"]["plain_to_auto"]["median"] > 0
    assert "auto's choice" in done.stdout


def test_variants_change_one_size_at_a_time(two_tasks: Path):
    experiment = load_experiment(str(two_tasks))  # whose 4 rows are the fewest that 2 tasks and 2 minibatches share
    found = list(variants(experiment))
    assert ("rows", experiment.num_rows, experiment) in found
    assert [axis for axis, _, _ in found] == ["rows"] * 2 + ["rollout"] * 2 + ["width"] * 2 + ["tasks"]
    for axis, value, variant in found:
        sizes = {
            "rows": variant.num_rows,
            "rollout": variant.learner.rollout_steps,
            "width": variant.model.width,
            "tasks": len(variant.environment.train),
        }
        assert sizes[axis] == value
        own = {
            "rows": experiment.num_rows,
            "rollout": experiment.learner.rollout_steps,
            "width": experiment.model.width,
            "tasks": len(experiment.environment.train),
        }
        assert {name for name in sizes if sizes[name] != own[name]} <= {axis}


def test_lengths_are_sorted_and_distinct():
    assert parse_lengths("64,8,64") == (8, 64)


def test_a_sweep_reaches_farther_on_an_accelerator(monkeypatch: pytest.MonkeyPatch):
    assert parse_lengths("sweep")[:2] == (SHORTEST, 2 * SHORTEST)
    assert parse_lengths("sweep")[-1] == LONGEST_ON_CPU == 16_384
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert parse_lengths("sweep")[-1] == LONGEST == 131_072


@pytest.mark.parametrize("text", ["", "0", "8,-1", "many", "8,,16"])
def test_lengths_that_are_none_are_refused(text: str):
    with pytest.raises(UserError) as refused:
        parse_lengths(text)
    assert str(refused.value) == f"--seq-len: got {text!r}; expected sweep, a length in steps, or several: 128,1024"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "got nothing to measure; expected --seq-len sweep, --throughput or --scan"),
        (["--scan", "--models", "s5"], "--models: got a value; expected none, since --scan times s5"),
        (["--throughput", "--match", "width"], "--match: got a value; expected none without --seq-len"),
        (["--seq-len", "8", "--models", "mlpp"], "--models: got 'mlpp'; expected of"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], message: str):
    done = icrl("benchmark", TINY, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
