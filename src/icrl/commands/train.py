"""`icrl train`: the imperative shell around a learner. All effects are here: disk, network, clock, terminal."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from icrl.commands.evaluate import evaluate_run, show_evaluation
from icrl.commands.progress import Progress
from icrl.errors import MachineError
from icrl.learners.ppo import PPO, LearnerState
from icrl.learners.seeds import over_seeds
from icrl.runs import compilation_cache
from icrl.runs.checkpoints import Checkpoints
from icrl.runs.directory import CHECKPOINTS, RunDirectory
from icrl.runs.interruption import Interruption
from icrl.runs.trackers import Tracker, WandbTracker
from icrl.spec.experiment import ExperimentSpec, load_experiment
from icrl.spec.parse import to_dict
from icrl.types import PyTree

Metrics = dict[str, np.ndarray]


def train(
    spec: str,
    *,
    model: str | None = None,
    seed: int | None = None,
    num_seeds: int | None = None,
    scale: str | None = None,
    out: Path | None = None,
    wandb: str | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Trains the agents of a spec, or goes on where an earlier run stopped, then evaluates them.

    Raises:
        SpecError: the spec, or what was changed in it, is wrong.
        UserError: the run directory belongs to another spec or another process.
        MachineError: the disk refuses, or training produced a number that is not finite.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    experiment = load_experiment(
        spec, model=model, scale=scale, overrides=overrides, seed=seed, num_seeds=num_seeds, wandb=wandb
    )
    compilation_cache.enable()
    learner = experiment.build()
    directory = out or experiment.default_directory
    with RunDirectory.open(directory, _identity(experiment), ["icrl", *sys.argv[1:]]) as run:
        run.update_manifest(devices=[str(device) for device in jax.devices()])
        trackers = [_tracker(run, experiment, seed) for seed in experiment.seeds]
        try:
            with Interruption() as stop:
                Training(experiment, learner, run, trackers).run(stop)
        finally:
            for tracker in trackers:
                tracker.finish()
        record = evaluate_run(run, experiment)
    show_evaluation(run, record)


class Training:
    """One run: state, directory, trackers, progress."""

    def __init__(
        self,
        spec: ExperimentSpec,
        learner: PPO,
        run: RunDirectory,
        trackers: Sequence[Tracker],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.learner, self.directory, self.trackers, self.clock = spec, learner, run, trackers, clock
        self.checkpoints = Checkpoints(run.path / CHECKPOINTS, keep=spec.checkpoint.keep)

    def run(self, stop: Interruption) -> None:
        """Trains to the end of the budget, from the newest checkpoint if there is one."""
        keys = jnp.stack([jax.random.PRNGKey(seed) for seed in self.spec.seeds])
        init = jax.jit(over_seeds(self.learner.init))
        template = jax.eval_shape(init, keys)
        restored = self.checkpoints.restore(template)
        update, state = restored or (0, None)
        self.directory.rewind_metrics(update)
        seconds_before = self.directory.metrics()[-1]["seconds"] if update else 0.0

        total = self.spec.num_updates
        with Progress(total * self.spec.env_steps_per_update, update * self.spec.env_steps_per_update) as progress:
            progress.say(_plan(self.spec, self.learner, template, self.directory.path, update))
            if update >= total:
                return
            progress.say("compiling (a later start of the same spec finds the result in the cache)")
            run_chunk = jax.jit(
                over_seeds(partial(_chunk, self.learner, self.spec.updates_per_chunk)), donate_argnums=0
            )
            run_chunk = run_chunk.lower(template).compile()
            state = init(keys) if state is None else state

            started = saved = self.clock()
            progress.begin()
            while update < total:
                if stop.requested:
                    if update not in self.checkpoints.updates():
                        self._save(update, state, None)
                    raise KeyboardInterrupt
                state, stacked = run_chunk(state)
                metrics = jax.device_get(stacked)
                self._refuse_non_finite(metrics, update)
                update += self.spec.updates_per_chunk
                now = self.clock()
                records = list(self._records(metrics, update, seconds_before + now - started))
                self.directory.append_metrics(records)
                for tracker, record in zip(self.trackers, records, strict=True):
                    tracker.log(record)
                progress.advance(update * self.spec.env_steps_per_update, _mean_of(records, "return/last_trial"))
                if update >= total or now - saved >= self.spec.checkpoint.every_seconds:
                    self._save(update, state, _mean_of(records, "return/last_trial"))
                    saved = now
            if stop.requested:
                raise KeyboardInterrupt

    def _save(self, update: int, state: PyTree, score: float | None) -> None:
        env_steps = update * self.spec.env_steps_per_update
        self.checkpoints.save(update, state, score, {"env_steps": env_steps, "spec": _identity(self.spec)})

    def _refuse_non_finite(self, metrics: Metrics, update: int) -> None:
        """Stops the run at the first update with a number that is not finite; no checkpoint holds it."""
        bad = [
            (int(np.argmin(np.isfinite(values).all(axis=0))), name)
            for name, values in metrics.items()
            if values.ndim == 2 and not np.isfinite(values).all()
        ]
        if bad:
            first, name = min(bad)
            good = [self.checkpoints.path / str(saved) for saved in self.checkpoints.updates()]
            last_good = f"the last good checkpoint is {good[-1]}" if good else "no checkpoint yet"
            raise MachineError(
                f"update {update + first + 1}: {name} is not finite; {last_good}; lower learner.learning_rate "
                "or learner.max_gradient_norm, and start again with another --out"
            )

    def _records(self, metrics: Metrics, update: int, seconds: float) -> Iterator[dict[str, Any]]:
        """One log record a seed: means over the chunk's updates, returns over the trials that ended in it."""
        env_steps = update * self.spec.env_steps_per_update
        for index, seed in enumerate(self.spec.seeds):
            of_seed = {name: values[index] for name, values in metrics.items()}
            sums, counts = of_seed.pop("trial_return_sum").sum(0), of_seed.pop("trial_count").sum(0)
            yield {
                "env_steps": env_steps,
                "update": update,
                "seconds": round(seconds, 3),
                "seed": seed,
                **_returns(sums, counts, self.learner.environments.tasks),
                **{
                    name: float(values.max() if name.endswith("error") else values.mean())
                    for name, values in of_seed.items()
                },
            }


def _chunk(learner: PPO, num_updates: int, state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
    """Several updates, and their metrics ``[num_updates, ...]``."""

    def update(state: LearnerState, _: None) -> tuple[LearnerState, dict[str, jax.Array]]:
        state, metrics = learner.update(state)
        return state, metrics | {"parameter_norm": optax.tree.norm(state.params)}

    return jax.lax.scan(update, state, length=num_updates)


def _returns(sums: np.ndarray, counts: np.ndarray, tasks: Sequence[str]) -> dict[str, float]:
    """Mean returns of finished trials, from sums and counts ``[tasks, trials]``; left out where none finished."""
    per_task = {}
    for task, task_sums, task_counts in zip(tasks, sums, counts, strict=True):
        if task_counts.sum():
            per_task[f"return/{task}"] = float(task_sums.sum() / task_counts.sum())
    found = {"return/mean": float(np.mean(list(per_task.values())))} if len(per_task) == len(tasks) else {}
    for name, trial in (("return/first_trial", 0), ("return/last_trial", -1)):
        if counts[:, trial].all():
            found[name] = float(np.mean(sums[:, trial] / counts[:, trial]))
    return found | per_task


def _mean_of(records: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [record[name] for record in records if name in record]
    return float(np.mean(values)) if values else None


def _identity(spec: ExperimentSpec) -> dict[str, Any]:
    """The spec as a run keeps it: all that determines its numbers, so not where they are shown or what is timed."""
    return {name: value for name, value in to_dict(spec).items() if name not in ("wandb", "benchmark")}


def _tracker(run: RunDirectory, spec: ExperimentSpec, seed: int) -> Tracker:
    return WandbTracker(
        spec.wandb,
        directory=run.path,
        project="icrl",
        group=f"{spec.name}-{spec.scale}-{spec.model_name}",
        name=f"{spec.name}-{spec.model_name}",
        seed=seed,
        run_id=run.manifest["id"],
        spec=_identity(spec),
    )


def _plan(spec: ExperimentSpec, learner: PPO, template: LearnerState, path: Path, update: int) -> str:
    """What is about to happen, for the user to check."""
    num_parameters = count_parameters(template.params) // spec.num_seeds
    projection = spec.environment.projection
    num_trials = spec.environment.trials_per_episode
    lines = {
        "experiment": f"{spec.name}, {spec.scale} scale, seeds {', '.join(map(str, spec.seeds))}",
        "model": f"{spec.model_name}, {num_parameters:,} parameters",
        "tasks": ", ".join(spec.environment.train),
        "held out": ", ".join(spec.environment.held_out) or "none",
        "seen through": f"{projection.kind} projections to {projection.observation_size} observations "
        f"and {projection.action_size} actions",
        "episode": f"{num_trials} trial{'s' * (num_trials > 1)} of {spec.environment.trial_steps} steps",
        "budget": f"{spec.num_updates * spec.env_steps_per_update:,} env steps per seed in {spec.num_updates} updates "
        f"of {spec.num_rows} rows x {spec.learner.rollout_steps} steps",
        "device": ", ".join(sorted({device.device_kind for device in jax.devices()})),
        "results": str(path),
    }
    if update:
        lines["resuming"] = f"from update {update} of {spec.num_updates}"
    return "\n".join(f"{name:<13}{text}" for name, text in lines.items())


def count_parameters(params: PyTree) -> int:
    """Number of scalars in a parameter tree."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
