"""`icrl evaluate`: how trained agents adapt to projections and tasks they have not seen."""

import json
import logging
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from icrl.adaptation import ACTORS, Adaptation, measure
from icrl.commands.compiling import jit_for_one_run
from icrl.errors import UserError, show
from icrl.report.comparison import Comparison, load_records, memoryless_of
from icrl.report.illustrations import illustrate
from icrl.report.records import SCHEMA, Record, load_references, parse_record
from icrl.report.tables import print_evaluation
from icrl.runs import compilation_cache
from icrl.runs.checkpoints import newest, restore_params
from icrl.runs.directory import EVALUATION, RunDirectory
from icrl.runs.disk import require_folder, to_json, write_atomically
from icrl.runs.provenance import git_commit
from icrl.spec.experiment import ExperimentSpec
from icrl.spec.experiment_file import load_experiment
from icrl.spec.parse import apply_overrides, parse
from icrl.spec.shipped import existing_path

logger = logging.getLogger(__name__)

RESULTS = Path("results")

Tasks = Literal["train", "held_out", "all"]


def evaluate(
    target: str,
    *,
    model: str | None = None,
    seed: int | None = None,
    scale: str | None = None,
    point: str | None = None,
    tasks: Tasks = "all",
    episodes: int | None = None,
    trials: int | None = None,
    out: Path | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Evaluates the newest run of a spec, a run directory or a checkpoint; prints the table and writes the record.

    Raises:
        UserError: there is no such run, or its checkpoint does not fit the spec.
    """
    compilation_cache.enable()
    path = find_run(target, model=model, scale=scale, seed=seed, point=point)
    run = RunDirectory.read(path)
    spec = parse(ExperimentSpec, apply_overrides(run.spec, overrides))
    if out is not None:
        require_folder(out)
    options = {"--tasks": None if tasks == "all" else tasks, "--episodes": episodes, "--trials": trials}
    changes = [*overrides, *(f"{option} {value}" for option, value in options.items() if value is not None)]
    record = evaluate_run(
        run, spec, checkpoint=path, tasks=tasks, episodes=episodes, trials=trials, out=out, changes=changes
    )
    show_evaluation(run, record, out)


def find_run(target: str, *, model: str | None, scale: str | None, seed: int | None, point: str | None = None) -> Path:
    """The run directory or checkpoint that a command's target means; a spec means its newest run.

    Raises:
        UserError: there is none.
    """
    path = existing_path(target)
    if path and path.is_dir():
        given = {"--model": model, "--scale": scale, "--seed": seed, "--point": point}
        ineffective = [option for option, value in given.items() if value is not None]
        if ineffective:
            raise UserError(f"{', '.join(ineffective)}: got a value; expected none, since {path} is one run already")
        return path
    if "/" in target and path is None:
        raise UserError(f"{target}: got nothing there; expected a run directory, a checkpoint or a spec")
    spec = load_experiment(target, model=model, scale=scale, point=point)
    folder = spec.default_directory.parent
    runs = [RunDirectory.read(manifest.parent) for manifest in folder.glob("*/manifest.json")]
    if seed is not None:
        runs = [run for run in runs if seed in parse(ExperimentSpec, run.spec).seeds]
    if not runs:
        at_point = f" --point {point}" if point else ""
        raise UserError(
            f"{target}: got no run of it in {folder}{'' if seed is None else f' with seed {seed}'}; expected one; "
            f"run: icrl train {target} --model {spec.model_name} --scale {spec.scale}{at_point}"
        )
    return max(runs, key=lambda run: run.manifest["started"]).path


def evaluate_run(
    run: RunDirectory,
    spec: ExperimentSpec,
    *,
    checkpoint: Path | None = None,
    tasks: Tasks = "all",
    episodes: int | None = None,
    trials: int | None = None,
    out: Path | None = None,
    changes: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluates all seeds of a run and writes ``evaluation.json``; gives the record (schema: docs/metrics.md).

    ``changes`` says in what the evaluation is not the one that the run's spec describes.
    """
    started = time.monotonic()
    checkpoint = checkpoint or run.path
    episodes = episodes or spec.evaluation.episodes_per_task
    trials = trials or spec.evaluation.trials or spec.environment.trials_per_episode
    names = {
        "train": spec.environment.train,
        "held_out": spec.environment.held_out,
        "all": spec.environment.train + spec.environment.held_out,
    }[tasks]
    if not names:
        raise UserError(f"--tasks: got {tasks}; expected tasks of that kind in {spec.name}, which has none")

    training = spec.build()
    template = jax.eval_shape(jax.vmap(training.init), jnp.zeros((spec.num_seeds, 2), jnp.uint32)).agent.params
    references = recorded_references(spec)
    checkpoint, description = newest(checkpoint)
    _, params = restore_params(checkpoint, template)
    env_steps = description["metadata"].get("env_steps")
    if not isinstance(env_steps, int):
        raise UserError(f"{checkpoint}: got env_steps {show(env_steps)}; expected a checkpoint made by `icrl train`")
    environments = spec.environment.build(names, len(names) * episodes, trials_per_episode=trials)
    play = jit_for_one_run(partial(measure, training.policy, environments, sample=spec.evaluation.sample_actions))
    key = jax.random.PRNGKey(spec.evaluation.seed)

    def played(seed_index: int, actor: str) -> Adaptation:
        of_seed = jax.tree.map(lambda leaf: leaf[seed_index], params)
        return jax.device_get(play(of_seed, jnp.int32(ACTORS.index(actor)), key=key))

    agents = [played(index, "agent") for index in range(spec.num_seeds)]
    baselines = {actor: played(0, actor) for actor in ACTORS[1:]}
    longest_trial = spec.environment.longest_trial
    unplayed = trials * longest_trial - environments.episode_steps  # where only the shorter tasks are evaluated
    rows_of = {name: environments.row_task == index for index, name in enumerate(environments.tasks)}
    record = {
        "schema": SCHEMA,
        "experiment": spec.name,
        "model": spec.model_name,
        "scale": spec.scale,
        **({"point": spec.point} if spec.point else {}),
        "rung": rung_name(spec),
        "env_steps": env_steps,
        **made_with(),
        "changes": list(changes),
        "trials_per_episode": spec.environment.trials_per_episode,
        "trial_steps": longest_trial,
        "action_repeat": spec.environment.action_repeat,
        "trials": trials,
        "num_episodes": episodes,
        "num_parameters": sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(params)),
        "seconds": round(time.monotonic() - started, 3),
        **_training_cost(run),
        "seeds": list(spec.seeds),
        "tasks": {
            name: {
                "split": spec.environment.split_of(name),
                "returns": [_rounded(agent.returns[rows_of[name]]) for agent in agents],
                "reward_by_step": [
                    _rounded(np.pad(agent.reward[:, rows_of[name]].mean(axis=1), (0, unplayed))) for agent in agents
                ],
                **{actor: float(played.returns[rows_of[name]].mean()) for actor, played in baselines.items()},
            }
            for name in names
        },
    }
    if references and set(names) <= references.keys():
        record["references"] = {name: references[name] for name in names}
    if out is None:
        run.write_json(EVALUATION, record)
    else:
        write_atomically(out / EVALUATION, json.dumps(to_json(record)) + "\n")
    return record


def show_evaluation(run: RunDirectory, record: Mapping[str, Any], out: Path | None = None) -> None:
    """Prints the table of a record and the paths of its figures."""
    folder = out or run.path
    parsed = parse_record(record, source=str(folder / EVALUATION))
    comparison = Comparison.of(parsed, memoryless_of(parsed, _recorded(parsed.experiment)))
    print_evaluation(*comparison.headline)
    for path in illustrate(comparison, folder):
        print(path)


def _recorded(experiment: str) -> list[Record]:
    """The records of an experiment to stand beside; none where one is damaged, which is said."""
    try:
        return load_records(RESULTS, experiment)
    except UserError as error:
        logger.warning("no recorded agent is shown beside: %s", error)
        return []


def references_path(spec: ExperimentSpec) -> Path:
    """Where the reference lines of an experiment are recorded."""
    return RESULTS / "references" / f"{spec.name}.json"


def recorded_references(spec: ExperimentSpec) -> dict[str, dict[str, float | None]]:
    """The recorded reference lines that fit this spec's trials; none where they are damaged, which is said."""
    path = references_path(spec)
    if not path.exists():
        return {}
    try:
        found = load_references(path)
    except UserError as error:
        logger.warning("no score is given: %s", error)
        return {}
    if not found.fit(spec.environment.longest_trial, spec.environment.action_repeat):
        return {}
    return {name: asdict(reference) for name, reference in found.tasks.items()}


def rung_name(spec: ExperimentSpec) -> str:
    """The rung of the ladder, as ``observation/action`` where they differ; empty without projections."""
    projection = spec.environment.projection
    if projection is None:
        return ""
    observation = projection.kind if projection.project_observation else "identity"
    action = projection.kind if projection.project_action else "identity"
    return observation if observation == action else f"{observation}/{action}"


def made_with() -> dict[str, Any]:
    """The command and the code that make a record, and what its numbers are measured on."""
    machine = {
        "platform": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "devices": sorted({device.device_kind for device in jax.devices()}),
        "jax": jax.__version__,
    }
    return {"command": " ".join(["icrl", *sys.argv[1:]]), "git_commit": git_commit(), "machine": machine}


def _training_cost(run: RunDirectory) -> dict[str, float]:
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


def _rounded(values: ArrayLike) -> list:
    """Four decimals, so that records stay small."""
    return np.round(np.asarray(values, np.float64), 4).tolist()


def _processor() -> str:
    """The processor's own name, where Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
