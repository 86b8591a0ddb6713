"""`icrl train`: the imperative shell around a learner. All effects are here: disk, network, clock, terminal."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.stages import Compiled

from icrl.commands.devices import choose_mesh, count_cores_as_devices
from icrl.commands.progress import Progress
from icrl.errors import MachineError
from icrl.evaluation import evaluate_run
from icrl.fields import origins
from icrl.learners.devices import SharedLearner
from icrl.learners.learner import LearnerState
from icrl.plugins import warn_of_changes
from icrl.records import save_record
from icrl.report.evaluation import of_one_seed, show_evaluation
from icrl.runs import compilation_cache, numerics, processes
from icrl.runs.checkpoints import Checkpoint, Checkpoints
from icrl.runs.directory import CHECKPOINTS, EVALUATION, RunDirectory
from icrl.runs.interruption import Interruption
from icrl.runs.past import last_time
from icrl.runs.processes import Peers
from icrl.runs.provenance import command_line, this_machine
from icrl.runs.trackers import Tracker, Trackers, WandbTracker
from icrl.runs.usage import OtherPrograms, memory_now
from icrl.spec.experiment import ExperimentSpec, training_changes
from icrl.spec.experiment_file import load_experiment
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
    point: str | None = None,
    devices: str | None = None,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    heartbeat_seconds: int | None = None,
    out: Path | None = None,
    wandb: str | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Trains the agents of a spec, or goes on where an earlier run stopped, then evaluates them.

    Raises:
        SpecError: the spec, or what was changed in it, is wrong.
        UserError: the run directory belongs to another spec or another process, or its rows cannot be shared.
        MachineError: the disk refuses, training produced a number that is not finite, or another process was lost.
        KeyboardInterrupt: Ctrl-C, SIGTERM or a signal like it, after a checkpoint was written.
    """
    arguments = processes.initialize_arguments(coordinator, num_processes, process_id, heartbeat_seconds)
    count_cores_as_devices()
    pinned = numerics.pin()
    experiment = load_experiment(
        spec,
        model=model,
        scale=scale,
        point=point,
        overrides=overrides,
        seed=seed,
        num_seeds=num_seeds,
        wandb=wandb,
    )
    with ExitStack() as at_the_end:
        with processes.joined(arguments):
            mesh = choose_mesh(experiment, devices)
            peers = processes.Peers(mesh)
            compilation_cache.enable()
            learner = SharedLearner(experiment.build(), mesh)
            run = None
            if peers.is_first:
                directory = out or experiment.default_directory
                run = RunDirectory.open(directory, to_dict(experiment), command_line(), training_changes)
                at_the_end.enter_context(run)
                warn_of_changes(run.manifest.get("plugins"), origins(experiment), run.path)
                run.update_manifest(
                    devices=[str(device) for device in mesh.devices.flat],
                    numerics=pinned,
                    plugins=origins(experiment),
                )
            seeds = experiment.seeds if run else ()
            trackers = at_the_end.enter_context(Trackers(seeds, partial(_tracker, run, experiment)))
            with Interruption() as stop:
                Training(experiment, learner, peers, run, trackers).run(stop)
        if run:
            _evaluate(experiment, run, trackers)


def _evaluate(spec: ExperimentSpec, run: RunDirectory, trackers: Trackers) -> None:
    """Evaluates the trained agents; writes the record, closes the run, and shows on screen and to trackers."""
    with Progress(1) as progress:
        phase = progress.phase("evaluating", last_time("evaluate_seconds", run))
        record = evaluate_run(Checkpoint.newest(run.path), spec, run=run, phase=phase)
    record = save_record(record, run.path / EVALUATION)
    run.update_manifest(evaluate_seconds=record.seconds)
    run.close("done")
    figures = show_evaluation(record, run.path)
    for index, tracker in enumerate(trackers.open()):
        summary, by_trial = of_one_seed(record, index)
        tracker.log_evaluation({"update": spec.num_updates, "env_steps": record.env_steps} | summary, by_trial, figures)


class Training:
    """One run: chunks of updates, and between them what is logged and saved.

    Every process of a run has one, and all do the same; but all except the first have no directory, and keep and
    show nothing.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        learner: SharedLearner,
        peers: Peers,
        run: RunDirectory | None,
        trackers: Trackers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.learner, self.peers, self.directory, self.clock = spec, learner, peers, run, clock
        self.trackers = trackers
        self.checkpoints = Checkpoints(run.path / CHECKPOINTS, keep=spec.checkpoint.keep) if run else None
        self.first_memory: dict[str, int] = {}
        self.origins = origins(spec)

    def run(self, stop: Interruption) -> None:
        """Trains to the end of the budget, from the newest checkpoint if there is one.

        Raises:
            KeyboardInterrupt: ``stop`` was requested in any process; a checkpoint was written.
            MachineError: a metric is not finite, or the disk refuses.
        """
        keys = jax.vmap(jax.random.PRNGKey)(np.array(self.spec.seeds, np.uint32))
        init = jax.jit(self.learner.init, out_shardings=self.learner.sharding)
        template = init.eval_shape(keys)
        restore = self.checkpoints.restore if self.checkpoints else None
        update, state = self.peers.broadcast(restore, template) or (0, None)
        env_steps = update * self.spec.env_steps_per_update
        with Progress(self.spec.all_env_steps, env_steps, silent=self.directory is None) as self.progress:
            if self.directory:
                self.directory.rewind_metrics(update)
                self.progress.say(_plan(self.spec, self.learner.mesh, template, self.directory.path, update))
            if update >= self.spec.num_updates:
                return
            if self.spec.wandb == "online":  # a login that is refused should not cost the compiling first
                self.trackers.open()
            last = last_time("compile_seconds", self.directory) if self.directory else None
            later = "a later start of the same spec finds the result in the cache"
            hint = "less if the cache has it" if last else later
            with self.progress.phase("compiling", last, hint):
                state, run_chunk = self._compile(lambda: init(keys), template, state)
            self._loop(update, state, run_chunk, stop)

    def _compile(
        self, fresh: Callable[[], LearnerState], template: LearnerState, restored: LearnerState | None
    ) -> tuple[LearnerState, Compiled]:
        """The restored state or a fresh one, on its devices, while the program that trains a chunk is compiled."""
        started, sharding = self.clock(), self.learner.sharding
        run_chunk = self.learner.lower(self.spec.updates_per_chunk, template)
        with ThreadPoolExecutor() as threads:
            compiling = threads.submit(run_chunk.compile)
            state = fresh() if restored is None else self.peers.shard(restored, sharding)
            compiled = compiling.result()
        if self.directory:
            self.directory.update_manifest(
                train_memory_bytes=self.learner.mesh.size * memory_bytes(compiled),
                compile_seconds=round(self.clock() - started, 3),
            )
        return state, compiled

    def _loop(self, update: int, state: LearnerState, run_chunk: Compiled, stop: Interruption) -> None:
        """Chunks to the end of the budget.

        All processes stop and save at the same chunk: when any of them is interrupted, when the first one's clock says.
        """
        seconds_before = _seconds_of(self.directory.metrics()) if self.directory and update else 0.0
        started = saved = self.clock()
        saved_update = update or None
        self._watch_other_programs(resumed=update > 0)
        self.progress.begin()
        while update < self.spec.num_updates:
            if self.peers.any(stop.requested):
                if update != saved_update:
                    self._save(update, state, None)
                raise KeyboardInterrupt
            state, stacked = run_chunk(state)
            self.trackers.open()  # in seconds that the first chunk takes anyway
            metrics = jax.device_get(self.peers.all_gather(stacked))
            self._refuse_non_finite(metrics, update)
            update += self.spec.updates_per_chunk
            now = self.clock()
            last_return = self._log(metrics, update, seconds_before + now - started)
            is_time = self.directory is not None and now - saved >= self.spec.checkpoint.every_seconds
            if update >= self.spec.num_updates or self.peers.any(is_time):
                self._save(update, state, last_return)
                saved, saved_update = now, update
        if self.peers.any(stop.requested):
            raise KeyboardInterrupt

    def _watch_other_programs(self, *, resumed: bool) -> None:
        """From now on, for the manifest to say whether the training had its machine, one machine, for itself."""
        if self.directory:
            machine = to_dict(this_machine())
            before = self.directory.manifest.get("other_cores") if resumed else 0.0
            moved = resumed and self.directory.manifest.get("machine") != machine
            self.other_cores, self.other_programs = None if moved else before, OtherPrograms()
            self.directory.update_manifest(machine=machine)

    def _other_cores(self) -> float | None:
        """Cores that other programs kept busy: the most since the training began, over its resumes."""
        now = self.other_programs.cores()
        return None if self.other_cores is None or now is None else max(self.other_cores, now)

    def _log(self, metrics: Metrics, update: int, seconds: float) -> float | None:
        """Writes and shows a line a seed; gives the mean return of the last trials, if any ended."""
        records = list(self._records(metrics, update, seconds))
        if self.directory:
            self.directory.append_metrics(records)
            for tracker, record in zip(self.trackers.open(), records, strict=True):
                tracker.log(record)
        last_return = _mean_of(records, "return/last_trial")
        self.progress.advance(update * self.spec.env_steps_per_update, last_return)
        return last_return

    def _save(self, update: int, state: PyTree, score: float | None) -> None:
        env_steps = update * self.spec.env_steps_per_update
        state = self.peers.all_gather(state)
        if self.checkpoints and self.directory:
            about = {"env_steps": env_steps, "spec": to_dict(self.spec), "plugins": self.origins}
            self.checkpoints.save(update, state, score, about)
            now = memory_now()
            self.first_memory = self.first_memory or now
            self.directory.update_manifest(
                memory={"first": self.first_memory, "last": now}, other_cores=self._other_cores()
            )

    def _refuse_non_finite(self, metrics: Metrics, update: int) -> None:
        """Stops the run at the first update with a number that is not finite; no checkpoint holds it."""
        bad = [
            (int(np.argmin(np.isfinite(values).all(axis=0))), name)
            for name, values in metrics.items()
            if values.ndim == 2 and not np.isfinite(values).all()
        ]
        if bad:
            first, name = min(bad)
            if self.checkpoints is None:
                last_good = "process 0 names the last good checkpoint"
            else:
                good = [self.checkpoints.path / str(saved) for saved in self.checkpoints.updates()]
                last_good = f"the last good checkpoint is {good[-1]}" if good else "there is no checkpoint yet"
            raise MachineError(
                f"training diverged: {name} is NaN or infinite in update {update + first + 1}; {last_good}; try a "
                "lower learner.learning_rate, in a new run with another --out"
            )

    def _records(self, metrics: Metrics, update: int, seconds: float) -> Iterator[dict[str, Any]]:
        """One log record a seed: each metric over the chunk's updates, returns over the trials that ended in it."""
        learner = self.learner.learner
        for index, seed in enumerate(self.spec.seeds):
            of_chunk = {name: learner.reduce(name, values[index]) for name, values in metrics.items()}
            sums, counts = of_chunk.pop("trial_return_sum"), of_chunk.pop("trial_count")
            yield {
                "env_steps": update * self.spec.env_steps_per_update,
                "update": update,
                "seconds": round(seconds, 3),
                "seed": seed,
                **_returns(sums, counts, learner.environments.tasks),
                **{name: float(value) for name, value in of_chunk.items()},
            }


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


def _seconds_of(lines: Sequence[Mapping[str, Any]]) -> float:
    """Training behind the last line; 0 where none says so."""
    return next((line["seconds"] for line in reversed(lines) if isinstance(line.get("seconds"), float | int)), 0.0)


def _tracker(run: RunDirectory | None, spec: ExperimentSpec, seed: int) -> Tracker:
    assert run, "only the first process has trackers"
    return WandbTracker(
        spec.wandb,
        directory=run.path,
        project="icrl",
        group="-".join(filter(None, (spec.name, spec.scale, spec.model_name, spec.point))),
        name=f"{spec.name}-{spec.model_name}",
        seed=seed,
        run_id=run.manifest["id"],
        spec=to_dict(spec),
    )


def _plan(spec: ExperimentSpec, mesh: jax.sharding.Mesh, template: LearnerState, path: Path, update: int) -> str:
    """What is about to happen, for the user to check."""
    num_parameters = count_parameters(template.agent.params) // spec.num_seeds
    projection = spec.environment.projection
    num_trials, repeat = spec.environment.trials_per_episode, spec.environment.action_repeat
    lines = {
        "experiment": f"{spec.name}, {spec.scale} scale, {f'point {spec.point}, ' if spec.point else ''}"
        f"seeds {', '.join(map(str, spec.seeds))}",
        "model": f"{spec.model_name}, {num_parameters:,} parameters",
        "tasks": ", ".join(spec.environment.train),
        "held out": ", ".join(spec.environment.tasks[len(spec.environment.train) :]) or "none",
        "seen through": "no projections"
        if projection is None
        else f"{spec.environment.rung} projections to {projection.observation_size} observations "
        f"and {projection.action_size} actions"
        + (f", in training also {', '.join(projection.curriculum)}" if projection.curriculum else ""),
        "episode": f"{num_trials} trial{'s' * (num_trials > 1)} of {spec.environment.longest_trial} steps at most"
        + (f", each action held for {repeat} of the environment's" if repeat > 1 else ""),
        "budget": f"{spec.all_env_steps:,} env steps per seed in {spec.num_updates} updates "
        f"of {spec.num_rows} rows x {spec.learner.rollout_steps} steps",
        "devices": f"{mesh.size} x {mesh.devices.flat[0].device_kind}"
        + (f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""),
        "results": str(path),
    }
    if update:
        lines["resuming"] = f"from update {update} of {spec.num_updates}"
    return "\n".join(f"{name:<13}{text}" for name, text in lines.items())


def memory_bytes(compiled: Compiled) -> int:
    """What a compiled program holds at once: arguments, results and temporaries, by the compiler's own analysis."""
    use: Any = compiled.memory_analysis()
    held = use.argument_size_in_bytes + use.output_size_in_bytes - use.alias_size_in_bytes
    return int(held + use.temp_size_in_bytes)


def count_parameters(params: PyTree) -> int:
    """Number of scalars in a parameter tree."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
