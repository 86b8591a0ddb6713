"""Task sets: which tasks an experiment trains on and holds out, and how they are presented to the agent.

To add a suite: a file with its environments, and a line in `SUITES`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from icrl.envs import brax_suite, dm_control_suite
from icrl.envs.action_repeat import ActionRepeat
from icrl.envs.environment import Environment
from icrl.envs.multi import Environments
from icrl.envs.projection import ProjectionSpec
from icrl.envs.trial import Episodes
from icrl.errors import Problem, SpecError, did_you_mean, show

SUITES: dict[str, tuple[Sequence[str], Callable[[Sequence[str]], Sequence[Environment]]]] = {
    "brax": (tuple(brax_suite.TASKS), brax_suite.bodies),
    "dm_control": (tuple(dm_control_suite.TASKS), dm_control_suite.bodies),
}
"""Per suite: the names of its tasks, and what builds environments for some of them."""


@dataclass(frozen=True)
class TaskSetSpec:
    """The tasks of an experiment and their presentation."""

    train: tuple[str, ...]
    """Tasks the agent learns on; every one gets the same number of rows."""
    held_out: tuple[str, ...] = ()
    """Tasks it meets in evaluation only."""
    suite: Literal["brax", "dm_control"] = "brax"
    trial_steps: int = 64
    """Time limit of a trial, in env steps."""
    action_repeat: int = 1
    """Steps of the environment for which an action is held; together they are one env step, with their mean reward."""
    trials_per_episode: int = 4
    """Trials of one task before memory is cleared and the task redrawn."""
    observe_action: bool = True
    """Append the previous (projected) action to the observation."""
    projection: ProjectionSpec = field(default_factory=ProjectionSpec)

    def __post_init__(self) -> None:
        problems = []
        for name in ("trial_steps", "action_repeat", "trials_per_episode"):
            if getattr(self, name) < 1:
                problems.append(Problem(name, show(getattr(self, name)), "at least 1"))
        if not self.train:
            problems.append(Problem("train", "no task", "at least one task"))
        known = SUITES[self.suite][0]
        for split in ("train", "held_out"):
            for index, task in enumerate(getattr(self, split)):
                if task not in known:
                    problems.append(
                        Problem(
                            f"{split}[{index}]", show(task), f"one of {', '.join(known)}", did_you_mean(task, known)
                        )
                    )
        everywhere = self.train + self.held_out
        for task in sorted({task for task in everywhere if everywhere.count(task) > 1}):
            problems.append(Problem("train, held_out", f"{show(task)} more than once", "every task once"))
        if problems:
            raise SpecError(problems)
        for environment in self._environments(everywhere):
            try:
                self.projection.build(environment)
            except SpecError as error:
                raise SpecError(replace(p, where=f"projection.{p.where}") for p in error.problems) from error

    def split_of(self, task: str) -> Literal["train", "held_out"]:
        """Which part of the set a task belongs to."""
        return "train" if task in self.train else "held_out"

    def build(
        self, tasks: Sequence[str], num_rows: int, *, trials_per_episode: int | None = None, stagger: bool = False
    ) -> Environments:
        """The batch of environments for some of the tasks, by default with the training number of trials.

        Raises:
            UserError: the suite needs an optional package that is not installed.
        """
        if self.suite == "dm_control":
            dm_control_suite.require_playground()
        members = tuple(
            Episodes(
                self.projection.build(environment),
                self.trial_steps,
                trials_per_episode or self.trials_per_episode,
                self.observe_action,
                stagger,
            )
            for environment in self._environments(tasks)
        )
        return Environments(members, num_rows)

    def _environments(self, tasks: Sequence[str]) -> Sequence[Environment]:
        environments = SUITES[self.suite][1](tasks)
        if self.action_repeat == 1:
            return environments
        return tuple(ActionRepeat(environment, self.action_repeat) for environment in environments)
