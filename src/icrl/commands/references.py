"""`icrl references`: a random policy, one that does nothing, and specialists.

Normalised scores place the better of the first two at 0 and the specialist, an agent trained on the one task without
projections and told what the task draws and hides, at 1.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from icrl.adaptation import ACTORS, measure
from icrl.commands.progress import Progress
from icrl.envs.environment import Wrapper
from icrl.envs.multi import Environments
from icrl.envs.trial import Episodes
from icrl.errors import MachineError, UserError
from icrl.learners.learner import LearnerState
from icrl.records import Reference, References, load_references, references_path
from icrl.runs import compilation_cache, numerics
from icrl.runs.disk import require_folder, to_json, write_atomically
from icrl.runs.provenance import made_with
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import to_dict
from icrl.types import Key, PyTree, Transition

NAMES = ("specialist", *ACTORS[1:])
"""The references, in the order of the actors that play them."""


def references(spec: str, *, scale: str | None = None, out: Path | None = None, overrides: Sequence[str] = ()) -> None:
    """Trains and measures the references of every task of a spec; writes them and prints the file's path.

    Raises:
        SpecError: the spec is wrong.
        MachineError: specialists learned nothing, so that scores would mean nothing; the other tasks are written.
    """
    experiment = load_experiment(spec, scale=scale, overrides=overrides)
    path = require_folder(out or references_path(experiment.name).parent) / f"{experiment.name}.json"
    _refuse_to_replace_others(path, experiment)
    numerics.pin()
    compilation_cache.enable()
    steps_each = experiment.specialist.total_env_steps
    learned, failed = {}, []
    with Progress(len(experiment.environment.tasks) * steps_each) as progress:
        progress.begin()
        for number, (task, returns) in enumerate(_references_of(experiment), start=1):
            progress.say(f"{task}: " + ", ".join(f"{name} {value:.2f}" for name, value in returns.items()))
            if returns["specialist"] > max(returns["random"], returns["do_nothing"]):
                learned[task] = returns
            else:
                failed.append(task)
            progress.advance(number * steps_each, returns["specialist"])
    if learned:
        _write(path, learned, experiment)
    if failed:
        raise MachineError(
            f"no reference for {', '.join(failed)}: the specialist learned nothing; train it longer, or leave the task "
            "out"
        )


def _refuse_to_replace_others(path: Path, experiment: ExperimentSpec) -> None:
    """Raises UserError where the file has references that these would not make again."""
    if not path.exists():
        return
    found, environment = load_references(path), experiment.environment
    wrong = [f"of {task}" for task in found.references if task not in experiment.environment.tasks]
    if not found.fit(environment.longest_trial, environment.action_repeat):
        held = f", each action held for {found.action_repeat}" if found.action_repeat else ""
        wrong.append(f"in trials of {found.trial_steps} steps{held}")
    if wrong:
        raise UserError(
            f"{path}: got references {', '.join(wrong)}; expected none but what {experiment.name} at "
            f"{experiment.scale} scale makes again; choose another folder with --out, or remove the file"
        )


def _write(path: Path, references: Mapping[str, Mapping[str, float]], experiment: ExperimentSpec) -> None:
    """Writes the references of an experiment, its tasks in the spec's order, and prints the file's path."""
    record = References(
        experiment=experiment.name,
        trial_steps=experiment.environment.longest_trial,
        action_repeat=experiment.environment.action_repeat,
        **made_with(),
        env_steps=experiment.specialist.total_env_steps,
        references={task: Reference(**references[task]) for task in experiment.environment.tasks if task in references},
    )
    write_atomically(path, json.dumps(to_json(to_dict(record)), indent=1) + "\n")
    print(path)


def specialist_of(spec: ExperimentSpec, task: str) -> ExperimentSpec:
    """The experiment that trains the specialist of one task."""
    environment = replace(spec.environment.unprojected(), train=(task,), held_out=(), trials_per_episode=1)
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


@dataclass(frozen=True)
class OneTask(Wrapper):
    """One task of an environment, told what it hides: its observation ends with `Environment.hidden`.

    Its number is known only when the program runs: one program serves them all.
    """

    index: jax.Array  # [] int32

    @property
    def tasks(self) -> tuple[str, ...]:
        """It alone."""
        return ("one",)

    @property
    def observation_size(self) -> int:  # type: ignore[override]
        """That of the environment within, and what it hides."""
        return self.inner.observation_size + self.inner.hidden_size

    def sample_task(self, index: jax.Array, *, key: Key) -> PyTree:
        """Draws the one task."""
        del index
        return self.inner.sample_task(self.index, key=key)

    def reset(self, task: PyTree, *, key: Key) -> tuple[PyTree, jax.Array]:
        """Resets the environment within."""
        state, observation = self.inner.reset(task, key=key)
        return state, self._told(task, observation)

    def step(self, task: PyTree, state: PyTree, action: jax.Array, *, key: Key) -> tuple[PyTree, Transition]:
        """Steps the environment within."""
        state, after = self.inner.step(task, state, action, key=key)
        return state, after._replace(observation=self._told(task, after.observation))

    def _told(self, task: PyTree, observation: jax.Array) -> jax.Array:
        return jnp.concatenate([observation, self.inner.hidden(task)])


def _references_of(spec: ExperimentSpec) -> Iterator[tuple[str, dict[str, float]]]:
    """Every task of ``spec`` and its mean returns per trial, in the order of their bodies."""
    tasks = spec.environment.tasks
    alone = specialist_of(spec, tasks[0])
    for episodes in alone.environment.build(tasks, len(tasks)).members:
        measured = jax.jit(partial(_train_and_measure, alone, episodes))
        for index, task in enumerate(episodes.tasks):
            values = jax.device_get(measured(jnp.int32(index)))
            yield task, {name: round(float(value), 4) for name, value in zip(NAMES, values, strict=True)}


def _train_and_measure(spec: ExperimentSpec, episodes: Episodes, index: jax.Array) -> jax.Array:
    """Mean returns per trial, as `NAMES` has them, on task number ``index`` after training its specialist."""
    member = replace(episodes, environment=OneTask(episodes.environment, index))
    environments = Environments((member,), spec.num_rows)
    learner = spec.learner.build(spec.build_policy(environments), environments, spec.num_updates)

    def update(state: LearnerState, _: None) -> tuple[LearnerState, None]:
        return learner.update(state)[0], None

    state, _ = jax.lax.scan(update, learner.init(jax.random.PRNGKey(spec.seed)), length=spec.num_updates)
    unseen = Environments((member,), spec.evaluation.episodes_per_task * 4)
    play = partial(
        measure, learner.policy, unseen, state.agent.params, sample=False, key=jax.random.PRNGKey(spec.evaluation.seed)
    )
    return jax.lax.map(lambda actor: play(actor).returns.mean(), jnp.arange(len(NAMES)))
