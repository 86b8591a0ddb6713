"""An experiment: its parts, its checks across parts, and how a YAML file becomes one.

Besides the fields of `ExperimentSpec`, a file holds `models`, the named variants it compares, `scales`, named sets of
changes, and perhaps a `grid`, the named points at which each model is trained in a run of its own: sets of changes too.
Later beats earlier: the file, the scale's changes, the point's, `key.path=value` overrides, options.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from icrl.envs.multi import Environments
from icrl.envs.suites import TaskSetSpec
from icrl.errors import Problem, SpecError, did_you_mean, is_file_name, show
from icrl.fields import MAX_SEED, Bound, Determines, PositiveFloat, PositiveInt, Seed, Spec, at_least
from icrl.learners import LearnerSpec
from icrl.learners.learner import Learner
from icrl.learners.ppo import PPOSpec
from icrl.models import MLPSpec, ModelSpec
from icrl.policy import Policy, PolicySpec
from icrl.spec.parse import apply_overrides, difference, merge, parse, read_yaml, to_dict
from icrl.spec.shipped import find_spec_file
from icrl.timing.spec import BenchmarkSpec

MAX_COUNT = 2**31 - 1
"""Of anything that is counted in 32 bits, as updates and rows are."""

PLAIN_NAME = "a plain name, since folders and figures are named after it"
Name = Annotated[str, Bound(PLAIN_NAME, is_file_name), Determines("nothing")]
Label = Annotated[str, Bound(PLAIN_NAME, lambda text: not text or is_file_name(text)), Determines("nothing")]
WandbMode = Literal["offline", "online", "disabled"]


@dataclass(frozen=True)
class EvaluationSpec(Spec):
    """How adaptation is measured."""

    episodes_per_task: PositiveInt = 64
    sample_actions: bool = True
    """Act as in training, by drawing actions; false takes the likeliest."""
    seed: Seed = 1_000
    """Of tasks, projections and starts; training never uses it."""
    trials: PositiveInt | None = None
    """Trials of an episode, perhaps more than in training; null: as many."""


@dataclass(frozen=True)
class SpecialistSpec(Spec):
    """The agent whose return is a task's score of 1: trained on that task alone, without projections."""

    num_rows: PositiveInt = 64
    total_env_steps: PositiveInt = 1_000_000
    """Per task."""
    model: ModelSpec = field(default_factory=lambda: MLPSpec(width=128, num_layers=2))
    learner: PPOSpec = field(default_factory=PPOSpec)

    def problems(self) -> list[Problem]:
        """Bounds, and rows that minibatches cannot share."""
        return [*super().problems(), *indivisible_rows(self.num_rows, self.learner)]


def indivisible_rows(rows_per_task: int, learner: LearnerSpec) -> Iterator[Problem]:
    """The problem of rows that minibatches cannot share equally, if there is one."""
    if rows_per_task % learner.row_groups:
        yield Problem(
            "learner.num_minibatches",
            show(learner.row_groups),
            f"a divisor of {rows_per_task}, the rows of each task",
            "minibatches are sets of whole rows, as many of every task",
        )


@dataclass(frozen=True)
class CheckpointSpec(Spec):
    """When the state of a run is saved."""

    every_seconds: PositiveFloat = 60.0
    keep: PositiveInt = 2
    """Newest checkpoints kept, besides the best."""


@dataclass(frozen=True)
class ResourcesSpec(Spec):
    """What a run is given where many are launched together: on this machine, or by a cluster's queue."""

    cpus: PositiveInt = 1
    """Cores. Without GPUs also the devices that share its rows, since a program of this size keeps one core busy."""
    gpus: Annotated[int, at_least(0)] = 0
    """Asked of a cluster's queue; here a run takes the accelerators that there are."""
    memory_gb: PositiveFloat = 4.0
    """Resident, compiling included."""
    hours: PositiveFloat = 4.0
    """Until a cluster's queue may stop it; it then saves a checkpoint and queues again."""


@dataclass(frozen=True)
class ExperimentSpec(Spec):
    """Everything that determines a run: the training, unless a field says otherwise."""

    name: Name
    environment: TaskSetSpec
    model: ModelSpec
    num_rows: PositiveInt
    """Environments stepped in parallel, over all training tasks; per seed."""
    total_env_steps: PositiveInt
    """Budget of training, per seed; rounded up to whole chunks of updates."""
    model_name: Label = ""
    """The variant's name in the file's `models`."""
    scale: Label = ""
    """The scale's name in the file's `scales`."""
    point: Label = ""
    """The point's name in the file's `grid`; empty off the grid."""
    seed: Seed = 0
    """First seed; a run with several takes the ones that follow."""
    num_seeds: PositiveInt = 1
    policy: PolicySpec = field(default_factory=PolicySpec)
    learner: LearnerSpec = field(default_factory=PPOSpec)
    updates_per_chunk: PositiveInt = 10
    """Updates between two log lines, run without leaving the device; `total_env_steps` is rounded up to them."""
    evaluation: Annotated[EvaluationSpec, Determines("evaluation")] = field(default_factory=EvaluationSpec)
    specialist: Annotated[SpecialistSpec, Determines("nothing")] = field(default_factory=SpecialistSpec)
    checkpoint: Annotated[CheckpointSpec, Determines("nothing")] = field(default_factory=CheckpointSpec)
    benchmark: Annotated[BenchmarkSpec, Determines("nothing")] = field(default_factory=BenchmarkSpec)
    resources: Annotated[ResourcesSpec, Determines("nothing")] = field(default_factory=ResourcesSpec)
    wandb: Annotated[WandbMode, Determines("nothing")] = "offline"

    def problems(self) -> list[Problem]:
        """Bounds; rows that tasks and minibatches cannot share; and, where nothing else is wrong, what is too long."""
        found = super().problems()
        if 0 <= self.seed <= MAX_SEED < self.seed + self.num_seeds - 1:
            found.append(Problem("num_seeds", show(self.num_seeds), f"seeds up to {MAX_SEED}"))
        num_tasks = len(self.environment.train)
        if self.num_rows % num_tasks:
            found.append(Problem("num_rows", show(self.num_rows), f"a multiple of the {num_tasks} training tasks"))
        else:
            found += indivisible_rows(self.rows_per_task, self.learner)
        if not found and (longest := max(self.num_updates, self.num_rows, self.env_steps_per_update)) > MAX_COUNT:
            what = "updates, or env steps of an update"
            found.append(Problem("total_env_steps, num_rows", show(longest), f"at most {MAX_COUNT} {what}"))
        return found

    @property
    def rows_per_task(self) -> int:
        """Rows bound to each training task, per seed."""
        return self.num_rows // len(self.environment.train)

    @property
    def equal_shares(self) -> int:
        """The parts that seeds and rows can be cut into: each divisor of them is a number of devices that can share."""
        return self.num_seeds * (self.rows_per_task // self.learner.row_groups)

    @property
    def env_steps_per_update(self) -> int:
        """Env steps of one update, per seed."""
        return self.num_rows * self.learner.rollout_steps

    @property
    def num_chunks(self) -> int:
        """Chunks of updates in the whole run."""
        return math.ceil(self.total_env_steps / (self.env_steps_per_update * self.updates_per_chunk))

    @property
    def num_updates(self) -> int:
        """Updates in the whole run."""
        return self.num_chunks * self.updates_per_chunk

    @property
    def all_env_steps(self) -> int:
        """Env steps of the whole run, per seed: `total_env_steps`, rounded up."""
        return self.num_updates * self.env_steps_per_update

    @property
    def seeds(self) -> range:
        """The seeds of the run."""
        return range(self.seed, self.seed + self.num_seeds)

    @property
    def default_directory(self) -> Path:
        """Where the run goes unless told otherwise."""
        seeds = f"seed{self.seed}" if self.num_seeds == 1 else f"seeds{self.seed}-{self.seeds[-1]}"
        return Path("results", "runs", self.name, self.scale, self.model_name, self.point, seeds)

    def build(self) -> Learner:
        """The learner, with its policy and training environments."""
        environments = self.environment.build(self.environment.train, self.num_rows, training=True)
        return self.learner.build(self.build_policy(environments), environments, self.num_updates)

    def build_policy(self, environments: Environments) -> Policy:
        """The agent's network for some environments."""
        return self.policy.build(self.model, environments.action_space)


def training_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The fields, of two plain specs, for which a run of the old one cannot go on as a run of the new one.

    Those are the fields that determine training, but for a longer budget: it changes nothing that lies behind, unless
    the learning rate is annealed over it. Fields that icrl has gained since the old spec was written have their
    defaults; one that icrl cannot read any more is compared as it stands.
    """
    try:
        before, after = parse(ExperimentSpec, old), parse(ExperimentSpec, new)
    except SpecError:
        return difference(old, new)
    changes = difference(to_dict(before, "training"), to_dict(after, "training"))
    if before.total_env_steps == after.total_env_steps:
        return changes
    longer, annealed = after.total_env_steps > before.total_env_steps, before.learner.anneal_learning_rate
    if longer and not annealed:
        return [change for change in changes if not change.startswith("total_env_steps:")]
    why = "the learning rate is annealed to zero over the old budget" if longer else "a run can only be extended"
    return [f"{change} ({why})" if change.startswith("total_env_steps:") else change for change in changes]


def load_experiment(
    name_or_path: str,
    *,
    model: str | None = None,
    scale: str | None = None,
    point: str | None = None,
    overrides: Sequence[str] = (),
    **options: Any,
) -> ExperimentSpec:
    """The experiment that a file describes, for one of its models and scales, and one of its points if it has a grid.

    Args:
        name_or_path: a YAML file, or the name of a shipped one.
        model: one of the file's `models`; by default its `default_model`.
        scale: one of the file's `scales`; by default its `default_scale`.
        point: one of the points of the file's, or the scale's, `grid`; by default the file as it is.
        overrides: ``key.path=value`` assignments.
        options: further fields to set, unless None.

    Raises:
        SpecError: every mistake found, at once.
    """
    path = find_spec_file(name_or_path)
    data = read_yaml(path)
    scales = _take_named(data, "scales")
    scale_name, changes = _choose("scale", scales, scale or data.pop("default_scale", None))
    data.pop("default_scale", None)
    data = merge(data, changes)
    grid = _take_named(data, "grid") if point is not None or "grid" in data else {}
    point_name, changes = ("", {}) if point is None else _choose("point", grid, point)
    data = merge(data, changes)
    models = _take_named(data, "models")
    model_name, model_data = _choose("model", models, model or data.pop("default_model", None))
    data.pop("default_model", None)
    names = {"model_name": model_name, "scale": scale_name, "point": point_name}
    _refuse_reserved(data, ("model", *names))
    data = apply_overrides({"name": path.stem, "model": model_data} | data, overrides)
    _refuse_reserved(data, names)
    given = {key: value for key, value in options.items() if value is not None}
    return parse(ExperimentSpec, data | given | names)


def _refuse_reserved(data: Mapping[str, Any], reserved: Iterable[str]) -> None:
    """Raises SpecError where a file or an override sets what only choosing a model, scale and point may set."""
    problems = [
        Problem(
            key, show(data[key]), "no value", "choose from models:, scales: and grid: with --model, --scale and --point"
        )
        for key in reserved
        if key in data
    ]
    if problems:
        raise SpecError(problems)


def model_names(name_or_path: str) -> tuple[str, ...]:
    """The variants that a file compares."""
    return tuple(_take_named(read_yaml(find_spec_file(name_or_path)), "models"))


def point_names(name_or_path: str, scale: str | None = None) -> tuple[str, ...]:
    """The points of a file's grid at one of its scales; none without a grid."""
    data = read_yaml(find_spec_file(name_or_path))
    scales = _take_named(data, "scales")
    _, changes = _choose("scale", scales, scale or data.get("default_scale"))
    data = merge(data, changes)
    return tuple(_take_named(data, "grid")) if "grid" in data else ()


def _take_named(data: dict[str, Any], section: str) -> Mapping[str, Any]:
    found = data.pop(section, None)
    if not isinstance(found, Mapping) or not found:
        got = "nothing" if found is None else show(found)
        raise SpecError([Problem(section, got, "a mapping from names to settings, with at least one")])
    for name, settings in found.items():
        if not isinstance(settings, Mapping | None):
            raise SpecError([Problem(f"{section}.{name}", show(settings), "a mapping")])
    return {str(name): settings or {} for name, settings in found.items()}


def _choose(what: str, named: Mapping[str, Any], wanted: Any) -> tuple[str, Any]:
    wanted = next(iter(named)) if wanted is None else wanted
    if not isinstance(wanted, str) or wanted not in named:
        raise SpecError([Problem(what, show(wanted), f"one of {', '.join(named)}", did_you_mean(wanted, named))])
    return wanted, named[wanted]
