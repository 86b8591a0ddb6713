"""`icrl evaluate SPEC --references`: a random policy, one that does nothing, and specialists.

Normalised scores place the better of the first two at 0 and the specialist, an agent trained on the one task without
projections, at 1.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from icrl.adaptation import ACTORS, measure
from icrl.commands.evaluate import machine, references_path
from icrl.commands.progress import Progress
from icrl.errors import MachineError
from icrl.report.records import SCHEMA
from icrl.runs import compilation_cache
from icrl.runs.disk import to_json, write_atomically
from icrl.runs.provenance import git_commit
from icrl.spec.experiment import ExperimentSpec, load_experiment


def make_references(
    spec: str, *, scale: str | None = None, out: Path | None = None, overrides: Sequence[str] = ()
) -> None:
    """Trains and measures the references of every task of a spec; writes them and prints the file's path.

    Raises:
        SpecError: the spec is wrong.
        MachineError: a specialist learned nothing, so that scores would mean nothing.
    """
    experiment = load_experiment(spec, scale=scale, overrides=overrides)
    compilation_cache.enable()
    tasks = experiment.environment.train + experiment.environment.held_out
    steps_each = experiment.specialist.total_env_steps
    references = {}
    with Progress(len(tasks) * steps_each) as progress:
        progress.begin()
        for number, task in enumerate(tasks, start=1):
            returns = references[task] = _references_of(specialist_of(experiment, task))
            progress.say(f"{task}: " + ", ".join(f"{name} {value:.2f}" for name, value in returns.items()))
            if not returns["specialist"] > max(returns["random"], returns["do_nothing"]):
                raise MachineError(f"{task}: its specialist learned nothing; train it longer, or leave the task out")
            progress.advance(number * steps_each, returns["specialist"])
    path = (out or references_path(experiment).parent) / f"{experiment.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "trial_steps": experiment.environment.longest_trial,
        "command": " ".join(["icrl", *sys.argv[1:]]),
        "git_commit": git_commit(),
        "machine": machine(),
        "env_steps": steps_each,
        "references": references,
    }
    write_atomically(path, json.dumps(to_json(record), indent=1) + "\n")
    print(path)


def specialist_of(spec: ExperimentSpec, task: str) -> ExperimentSpec:
    """The experiment that trains the specialist of one task."""
    projection = spec.environment.projection
    if projection is not None:
        projection = replace(projection, project_observation=False, project_action=False)
    environment = replace(spec.environment, train=(task,), held_out=(), trials_per_episode=1, projection=projection)
    specialist = spec.specialist
    return replace(
        spec,
        environment=environment,
        model=specialist.model,
        model_name="specialist",
        learner=specialist.learner,
        num_rows=specialist.num_rows,
        total_env_steps=specialist.total_env_steps,
        num_seeds=1,
    )


def _references_of(spec: ExperimentSpec) -> dict[str, float]:
    """Mean returns per trial on the one task of ``spec``, after training its specialist."""
    learner = spec.build()

    @jax.jit
    def trained(key):
        state = learner.init(key)
        return jax.lax.scan(lambda state, _: (learner.update(state)[0], None), state, length=spec.num_updates)[0]

    params = trained(jax.random.PRNGKey(spec.seed)).params
    environments = spec.environment.build(spec.environment.train, spec.evaluation.episodes_per_task * 4)
    play = jax.jit(partial(measure, learner.policy, environments, sample=False))
    key = jax.random.PRNGKey(spec.evaluation.seed)
    return {
        name: round(float(play(params, jnp.int32(index), key=key).returns.mean()), 4)
        for index, name in enumerate(("specialist", *ACTORS[1:]))
    }
