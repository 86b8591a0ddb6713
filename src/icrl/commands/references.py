"""The reference lines of an experiment: a random policy, one that does nothing, and specialists.

Normalised scores place the better of the first two at 0 and the specialist, an agent trained on the one task without
projections, at 1.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from icrl.adaptation import ACTORS, measure
from icrl.commands.evaluate import machine, references_path
from icrl.commands.progress import Progress
from icrl.report.records import SCHEMA
from icrl.runs.disk import write_atomically
from icrl.runs.provenance import git_commit
from icrl.spec.experiment import ExperimentSpec


def specialist_of(spec: ExperimentSpec, task: str) -> ExperimentSpec:
    """The experiment that trains the specialist of one task."""
    projection = replace(spec.environment.projection, project_observation=False, project_action=False)
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


def make_references(spec: ExperimentSpec, out: Path | None = None) -> None:
    """Trains and measures the references of every task of a spec; writes them and prints the file's path."""
    tasks = spec.environment.train + spec.environment.held_out
    references = {}
    with Progress(len(tasks) * specialist_of(spec, tasks[0]).total_env_steps) as progress:
        for number, task in enumerate(tasks):
            references[task] = _references_of(specialist_of(spec, task))
            shown = ", ".join(f"{name} {value:.2f}" for name, value in references[task].items())
            progress.say(f"{number + 1}/{len(tasks)} {task}: {shown}")
    path = (out or references_path(spec).parent) / f"{spec.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "schema": SCHEMA,
        "experiment": spec.name,
        "trial_steps": spec.environment.trial_steps,
        "command": " ".join(["icrl", *sys.argv[1:]]),
        "git_commit": git_commit(),
        "machine": machine(),
        "env_steps": spec.specialist.total_env_steps,
        "references": references,
    }
    write_atomically(path, json.dumps(record, indent=1) + "\n")
    print(path)


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
    names = ("specialist", *ACTORS[1:])
    return {
        name: round(float(play(params, jnp.int32(index), key=key).returns.mean()), 4)
        for index, name in enumerate(names)
    }
