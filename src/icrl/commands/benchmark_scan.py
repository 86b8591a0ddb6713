"""`icrl benchmark --scan`: S5's scan by schedule, and a whole update at the paper's size, against the plain form."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from icrl.commands.benchmark_record import DEFAULT_SPEC, record_folder, show_tables, write_record
from icrl.errors import UserError
from icrl.models import MODELS, S5Spec
from icrl.records import read_object
from icrl.report.benchmark_tables import scan_tables
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from icrl.timing.idle import idle_environments
from icrl.timing.machine import peak_bytes
from icrl.timing.programs import Clock, Interval, Program, interleave, ratios
from icrl.timing.state_space import LARGE, SHAPES, measure_layer

LAYER_REPETITIONS = 15


def benchmark_scan(spec: str | None = None, *, scale: str | None = None, out: Path | None = None) -> None:
    """Times one layer at several shapes and one update of the spec's S5, and writes ``scan.json``; prints the tables.

    Without a spec the update has the paper's size.

    Raises:
        UserError: the spec's model is not S5.
    """
    clock = time.perf_counter
    experiment = load_experiment(spec or DEFAULT_SPEC, model="s5", scale=scale or (None if spec else "paper"))
    folder = record_folder(experiment.name, out)
    console = Console(stderr=True, highlight=False)
    layers = []
    for shape in SHAPES if jax.default_backend() == "cpu" else (*SHAPES, LARGE):
        console.print(f"one layer at {tuple(shape)}: compiling and timing")
        layers.append(measure_layer(shape, LAYER_REPETITIONS, clock))
    console.print("a whole update: compiling, the plain form too, which takes a minute")
    update = measure_update(experiment, clock)
    path = write_record(folder, "scan", {"layers": layers, "update": update, "peak_bytes": peak_bytes()})
    show_tables(scan_tables(read_object(path)))
    print(path)


def measure_update(experiment: ExperimentSpec, clock: Clock) -> dict[str, Any]:
    """One whole learner update with S5's scan as it is and in the plain form, in an environment that costs nothing."""
    if not isinstance(experiment.model, S5Spec):
        kind = MODELS.name_of(type(experiment.model))
        raise UserError(f"{experiment.name}: got the model s5 of kind {kind}; expected kind s5")
    environments = idle_environments(experiment.benchmark.rows)
    programs = {}
    for schedule in ("auto", "plain"):
        model = replace(experiment.model, schedule=schedule)
        policy = experiment.policy.build(model, environments.action_space)
        learner = experiment.learner.build(policy, environments, num_updates=1)
        programs[schedule] = Program.of(learner.update, jax.jit(learner.init)(jax.random.PRNGKey(0)), clock=clock)
    samples = interleave(programs, experiment.benchmark.repetitions, clock)
    return {
        "size": f"{experiment.model.num_layers} x {experiment.model.width}, {experiment.learner.rollout_steps} steps, "
        f"{experiment.benchmark.rows} rows",
        "schedules": {
            name: {
                "seconds": Interval.of(samples[name])._asdict(),
                "compile_seconds": program.compile_seconds,
                "memory_bytes": program.memory_bytes,
            }
            for name, program in programs.items()
        },
        "plain_to_auto": ratios(samples["plain"], samples["auto"])._asdict(),
    }
