"""An experiment: its parts, and the checks across them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from icrl.envs.multi import Environments
from icrl.envs.suites import TaskSetSpec
from icrl.errors import Problem, SpecError, show
from icrl.fields import MAX_SEED, Determines, Label, Name, PositiveFloat, PositiveInt, Seed, Spec, at_least
from icrl.learners import LearnerSpec
from icrl.learners.learner import Learner
from icrl.learners.ppo import PPOSpec
from icrl.models import MLPSpec, NamedModel
from icrl.policy import Policy, PolicySpec
from icrl.spec.parse import difference, parse, to_dict
from icrl.timing.spec import BenchmarkSpec

MAX_COUNT = 2**31 - 1
"""Of anything that is counted in 32 bits, as updates and rows are."""

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
    model: NamedModel = field(default_factory=lambda: MLPSpec(width=128, num_layers=2))
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

    name: Annotated[Name, Determines("nothing")]
    environment: TaskSetSpec
    model: NamedModel
    num_rows: PositiveInt
    """Environments stepped in parallel, over all training tasks; per seed."""
    total_env_steps: PositiveInt
    """Budget of training, per seed; rounded up to whole chunks of updates."""
    model_name: Annotated[Label, Determines("nothing")] = ""
    """The variant's name in the file's `models`."""
    scale: Annotated[Label, Determines("nothing")] = ""
    """The scale's name in the file's `scales`."""
    point: Annotated[Label, Determines("nothing")] = ""
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
        environments = self.environment.build(
            self.environment.train, self.num_rows, training=True, privileged=self.learner.privileged
        )
        return self.learner.build(self.build_policy(environments), environments, self.num_updates)

    def build_policy(self, environments: Environments) -> Policy:
        """The agent's network for some environments."""
        shown = environments.privileged_size if self.learner.privileged else 0
        return self.learner.network(self.policy.build(self.model, environments.action_space, privileged_size=shown))


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
