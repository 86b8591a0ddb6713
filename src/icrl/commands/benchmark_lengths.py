"""`icrl benchmark --seq-len`: time and memory of the sequence models against sequence length."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from icrl.commands.benchmark_record import DEFAULT_SPEC, load_models, record_folder, show_tables, write_record
from icrl.errors import UserError
from icrl.learners.learner import Learner, LearnerState
from icrl.models import ModelSpec
from icrl.records import read_object
from icrl.report.benchmark import draw_sweep
from icrl.report.benchmark_tables import length_tables, skipped
from icrl.report.style import save
from icrl.spec.experiment import ExperimentSpec
from icrl.timing.idle import idle_environments
from icrl.timing.machine import peak_bytes
from icrl.timing.matching import matched
from icrl.timing.programs import Clock, Program
from icrl.timing.sequences import UpdateOf, exponents, measure_length
from icrl.timing.spec import Match

SHORTEST, LONGEST_ON_CPU, LONGEST = 2**7, 2**14, 2**17


def benchmark_lengths(
    spec: str | None = None,
    *,
    seq_len: str,
    models: Sequence[str] | None = None,
    match: Match | None = None,
    scale: str | None = None,
    out: Path | None = None,
) -> None:
    """Times the models of a spec by length, and writes ``benchmark.json`` and its figure; prints the table.

    Raises:
        UserError: a length is no positive number, or a model is not one of the spec's.
    """
    clock = time.perf_counter
    lengths = parse_lengths(seq_len)
    experiments = load_models(spec or DEFAULT_SPEC, models, scale)
    first = next(iter(experiments.values()))
    folder = record_folder(first.name, out)
    settings = replace(first.benchmark, match=match or first.benchmark.match)
    chosen = matched({name: experiment.model for name, experiment in experiments.items()}, settings.match)
    console = Console(stderr=True, highlight=False)
    found: list[dict[str, dict[str, Any]]] = []
    for length in lengths:
        console.print(f"length {length:,}: compiling and timing {', '.join(chosen)}")
        found.append(
            measure_length(
                chosen,
                length,
                spec=settings,
                previous=found,
                update_of=_idle_update(first, settings.rows, clock),
                clock=clock,
            )
        )
    records = [record for by_model in found for record in by_model.values()]
    result = {
        "match": settings.match,
        "repetitions": settings.repetitions,
        "records": records,
        "exponents": {
            name: {use: power._asdict() for use, power in of.items()} for name, of in exponents(records).items()
        },
        "peak_bytes": peak_bytes(),
    }
    path = write_record(folder, "benchmark", result)
    record = read_object(path)
    show_tables(length_tables(record))
    print(*skipped(record), path, sep="\n")
    print(save(draw_sweep(record), path.with_suffix(".png")))


def parse_lengths(text: str) -> tuple[int, ...]:
    """The lengths that ``--seq-len`` asks for, ascending; ``sweep`` reaches farther on an accelerator.

    Raises:
        UserError: it is neither ``sweep`` nor numbers.
    """
    if text == "sweep":
        longest = LONGEST_ON_CPU if jax.default_backend() == "cpu" else LONGEST
        return tuple(2**power for power in range(SHORTEST.bit_length() - 1, longest.bit_length()))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 10 and int(part) > 0 for part in parts):
        raise UserError(f"--seq-len: got {text!r}; expected sweep, a length in steps, or several: 128,1024")
    return tuple(sorted({int(part) for part in parts}))


def _idle_update(experiment: ExperimentSpec, rows: int, clock: Clock) -> UpdateOf:
    """Makes the whole learner update of the experiment, in an environment that costs nothing."""
    environments = idle_environments(rows)

    def learner(model: ModelSpec, length: int) -> Learner:
        learner_spec = replace(experiment.learner, rollout_steps=length)
        return learner_spec.build(experiment.policy.build(model, environments.action_space), environments, 1)

    @cache
    def fresh(model: ModelSpec) -> LearnerState:
        return jax.jit(learner(model, 1).init)(jax.random.PRNGKey(0))

    return lambda model, length: Program.of(learner(model, length).update, fresh(model), clock=clock)
