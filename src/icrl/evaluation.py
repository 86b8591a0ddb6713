"""An evaluation: how the agents of a run adapt to projections and tasks that they have not seen, as a record."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from icrl.adaptation import ACTORS, Adaptation, measure
from icrl.compiling import jit_for_one_run
from icrl.errors import UserError, show
from icrl.records import Record, TaskResult, recorded_references
from icrl.runs.checkpoints import newest, restore_params
from icrl.runs.directory import RunDirectory
from icrl.runs.provenance import made_with
from icrl.spec.experiment import ExperimentSpec

Tasks = Literal["train", "held_out", "all"]


def evaluate_run(
    run: RunDirectory,
    spec: ExperimentSpec,
    *,
    checkpoint: Path | None = None,
    tasks: Tasks = "all",
    episodes: int | None = None,
    trials: int | None = None,
    changes: Sequence[str] = (),
) -> Record:
    """Evaluates all seeds of a run.

    Args:
        run: the run, for what its training cost.
        spec: what to evaluate, and how; the run's own, perhaps with changes.
        checkpoint: one checkpoint of the run; by default its newest readable one.
        tasks: those of training under unseen projections, those held out, or both.
        episodes: per task and seed, instead of the spec's.
        trials: of an episode, instead of the spec's.
        changes: in what the evaluation is not the one that the run's spec describes.

    Raises:
        UserError: there is no such task, or the checkpoint does not fit the spec.
    """
    started = time.monotonic()
    environment = spec.environment
    episodes = episodes or spec.evaluation.episodes_per_task
    trials = trials or spec.evaluation.trials or environment.trials_per_episode
    names = {
        "train": environment.train,
        "held_out": environment.held_out,
        "all": environment.train + environment.held_out,
    }[tasks]
    if not names:
        raise UserError(f"--tasks: got {tasks}; expected tasks of that kind in {spec.name}, which has none")

    training = spec.build()
    template = jax.eval_shape(jax.vmap(training.init), jnp.zeros((spec.num_seeds, 2), jnp.uint32)).agent.params
    references = recorded_references(spec.name, environment.longest_trial, environment.action_repeat)
    checkpoint, description = newest(checkpoint or run.path)
    _, params = restore_params(checkpoint, template)
    env_steps = description["metadata"].get("env_steps")
    if not isinstance(env_steps, int):
        raise UserError(f"{checkpoint}: got env_steps {show(env_steps)}; expected a checkpoint made by `icrl train`")
    environments = environment.build(names, len(names) * episodes, trials_per_episode=trials)
    play = jit_for_one_run(partial(measure, training.policy, environments, sample=spec.evaluation.sample_actions))
    key = jax.random.PRNGKey(spec.evaluation.seed)

    def played(seed_index: int, actor: str) -> Adaptation:
        of_seed = jax.tree.map(lambda leaf: leaf[seed_index], params)
        return jax.device_get(play(of_seed, jnp.int32(ACTORS.index(actor)), key=key))

    agents = [played(index, "agent") for index in range(spec.num_seeds)]
    random, do_nothing = (played(0, actor) for actor in ACTORS[1:])
    longest_trial = environment.longest_trial
    unplayed = trials * longest_trial - environments.episode_steps  # where only the shorter tasks are evaluated

    def result_of(name: str) -> TaskResult:
        rows = environments.row_task == environments.tasks.index(name)
        rewards = [np.pad(agent.reward[:, rows].mean(axis=1), (0, unplayed)) for agent in agents]
        return TaskResult(
            split=environment.split_of(name),
            returns=_rounded([agent.returns[rows] for agent in agents]),
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
        env_steps=env_steps,
        **made_with(),
        changes=tuple(changes),
        trials_per_episode=environment.trials_per_episode,
        trial_steps=longest_trial,
        action_repeat=environment.action_repeat,
        trials=trials,
        num_episodes=episodes,
        num_parameters=sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(params)),
        tasks={name: result_of(name) for name in names},
        seconds=round(time.monotonic() - started, 3),
        **_training_cost(run),
        seeds=tuple(spec.seeds),
        references={name: references[name] for name in names if name in references},
    )


def _training_cost(run: RunDirectory) -> dict[str, Any]:
    """Seconds of the training, compiling aside, its env steps per second, and its memory, over all seeds."""
    metrics = [line for line in run.metrics() if {"seconds", "env_steps"} <= line.keys()]
    if not metrics or not metrics[-1]["seconds"]:
        return {}
    seconds = metrics[-1]["seconds"]
    env_steps = sum(line["env_steps"] for line in metrics if line["update"] == metrics[-1]["update"])
    found = {"train_seconds": seconds, "train_env_steps_per_second": round(env_steps / seconds, 1)}
    if "train_memory_bytes" in run.manifest:
        found["train_memory_bytes"] = run.manifest["train_memory_bytes"]
    return found


def _rounded(values: ArrayLike) -> np.ndarray:
    """Four decimals, so that records stay small."""
    return np.round(np.asarray(values, np.float64), 4)
