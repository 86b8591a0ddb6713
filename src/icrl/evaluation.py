"""An evaluation: how the agents of a run adapt to projections and tasks that they have not seen, as a record."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from icrl.adaptation import ACTORS, Actor, Adaptation, measure
from icrl.agent import Agent, load_agents, trained_spec
from icrl.compiling import jit_for_one_run
from icrl.envs.multi import Environments
from icrl.errors import UserError
from icrl.fields import origins
from icrl.plugins import warn_of_changes
from icrl.probe import FOLDS, choose_steps, read
from icrl.records import Probe, Record, Split, TaskResult, recorded_references
from icrl.runs.checkpoints import Checkpoint
from icrl.runs.directory import SPEC, RunDirectory
from icrl.runs.provenance import Machine, made_with
from icrl.spec.experiment import ExperimentSpec, training_changes
from icrl.spec.parse import difference, parse

Tasks = Literal["train", "held_out", "all"]


def evaluate_run(
    checkpoint: Checkpoint,
    spec: ExperimentSpec,
    *,
    run: RunDirectory | None = None,
    tasks: Tasks = "all",
    episodes: int | None = None,
    trials: int | None = None,
    changes: Sequence[str] = (),
    probe: bool = False,
    phase: AbstractContextManager[None] | None = None,
) -> Record:
    """Evaluates all seeds of a run.

    Args:
        checkpoint: one checkpoint of the run.
        spec: what to evaluate, and how; the run's own, perhaps with changes.
        run: the run, for what its training cost; by default the checkpoint is alone.
        tasks: those of training under unseen projections, those held out, or both.
        episodes: per task and seed, instead of the spec's.
        trials: of an episode, instead of the spec's.
        changes: in what the evaluation is not the one that the run's spec describes.
        probe: also tell what a linear probe reads off the agents' features, step by step.
        phase: open while the agents play.

    Raises:
        UserError: there is no such task, the checkpoint does not fit the spec, or the run's spec did not train it.
    """
    started = time.monotonic()
    changes = [*(_renamed(checkpoint, run) if run else ()), *changes]
    environment = spec.environment
    episodes = episodes or spec.evaluation.episodes_per_task
    trials = trials or spec.evaluation.trials or environment.trials_per_episode
    names = {
        "train": environment.train,
        "held_out": environment.tasks[len(environment.train) :],
        "all": environment.tasks,
    }[tasks]
    if not names:
        raise UserError(f"--tasks: got {tasks}; expected tasks of that kind in {spec.name}, which has none")

    if probe and episodes < FOLDS:
        raise UserError(f"--episodes: got {episodes}; expected at least {FOLDS} with --probe, better some hundreds")

    made_of = origins(spec)
    warn_of_changes(checkpoint.metadata.get("plugins"), made_of, checkpoint.folder)
    agents = load_agents(checkpoint, spec)
    references = recorded_references(spec.name, environment.longest_trial, environment.action_repeat)
    environments = agents[0].environments(names, len(names) * episodes, trials=trials)
    sample = spec.evaluation.sample_actions
    play = jit_for_one_run(partial(measure, agents[0].policy, environments, sample=sample, watch=probe))
    key = jax.random.PRNGKey(spec.evaluation.seed)

    def played(agent: Agent, actor: Actor) -> Adaptation:
        return jax.device_get(play(agent.params, jnp.int32(ACTORS.index(actor)), key=key))

    with phase or nullcontext():
        adaptations = [played(agent, "agent") for agent in agents]
        random, do_nothing = (played(agents[0], actor) for actor in ACTORS[1:])
    longest_trial = environment.longest_trial
    unplayed = trials * longest_trial - environments.episode_steps  # where only the shorter tasks are evaluated

    def result_of(name: str) -> TaskResult:
        rows = environments.row_task == environments.tasks.index(name)
        rewards = [np.pad(of_seed.reward[:, rows].mean(axis=1), (0, unplayed)) for of_seed in adaptations]
        return TaskResult(
            split=environment.split_of(name),
            returns=_rounded([of_seed.returns[rows] for of_seed in adaptations]),
            reward_by_step=_rounded(rewards),
            random=float(random.returns[rows].mean()),
            do_nothing=float(do_nothing.returns[rows].mean()),
        )

    return Record(
        experiment=spec.name,
        model=spec.model_name,
        scale=spec.scale,
        point=spec.point,
        rung=environment.rung,
        env_steps=agents[0].env_steps,
        changes=tuple(changes),
        trials_per_episode=environment.trials_per_episode,
        trial_steps=longest_trial,
        action_repeat=environment.action_repeat,
        trials=trials,
        num_episodes=episodes,
        num_parameters=sum(leaf.size for leaf in jax.tree.leaves(agents[0].params)),
        tasks={name: result_of(name) for name in names},
        probe=_read(adaptations, spec, environments) if probe else None,
        seconds=round(time.monotonic() - started, 3),
        **made_with() | (_training_cost(run) if run else {}),
        seeds=tuple(spec.seeds),
        references={name: references[name] for name in names if name in references},
        plugins={name: origin.get("sha256", "") for name, origin in made_of.items()},
    )


def _read(adaptations: Sequence[Adaptation], spec: ExperimentSpec, environments: Environments) -> Probe:
    """What a probe reads off the features of every seed, split by split."""
    watched = [of_seed.watched for of_seed in adaptations if of_seed.watched]
    steps = choose_steps([of_seed.playing for of_seed in watched], environments.row_task)
    splits = np.array([spec.environment.split_of(name) for name in environments.tasks])[environments.row_task]
    readings: dict[Split, dict[str, np.ndarray]] = {}
    for split in dict.fromkeys(splits.tolist()):
        by_seed = [read(of_seed, steps, splits == split, environments.row_task) for of_seed in watched]
        readings[split] = {name: _rounded([of_seed[name] for of_seed in by_seed]) for name in by_seed[0]}
    return Probe(tuple(step + 1 for step in steps), readings)


def _renamed(checkpoint: Checkpoint, run: RunDirectory) -> list[str]:
    """The names that a run's spec no longer shares with the spec that trained its checkpoint.

    Raises:
        UserError: they differ in what determines training.
    """
    trained, described = trained_spec(checkpoint), run.spec
    if changes := training_changes(trained, described):
        raise UserError(
            f"{run.path / SPEC}: is not the spec that trained {checkpoint.folder}; put it back, or copy the "
            "checkpoint out of the run and evaluate it alone: it holds its own spec\n" + "\n".join(changes)
        )
    names = ("name", "model_name", "scale", "point")
    old, new = ({name: spec.get(name, "") for name in names} for spec in (trained, described))
    return difference(old, new)


def _training_cost(run: RunDirectory) -> dict[str, Any]:
    """What the training of all seeds took, compiling aside, and on what machine."""
    metrics = [line for line in run.metrics() if {"seconds", "env_steps"} <= line.keys()]
    if not metrics or not metrics[-1]["seconds"]:
        return {}
    seconds = metrics[-1]["seconds"]
    env_steps = sum(line["env_steps"] for line in metrics if line["update"] == metrics[-1]["update"])
    manifest = run.manifest
    return {
        "train_seconds": seconds,
        "train_env_steps_per_second": round(env_steps / seconds, 1),
        "train_memory_bytes": manifest.get("train_memory_bytes"),
        "train_other_cores": manifest.get("other_cores"),
        **({"machine": parse(Machine, manifest["machine"])} if "machine" in manifest else {}),
    }


def _rounded(values: ArrayLike) -> np.ndarray:
    """Four decimals, so that records stay small."""
    return np.round(np.asarray(values, np.float64), 4)
