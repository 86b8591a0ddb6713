"""Task sets: which tasks an experiment trains on and holds out, and how they are presented to the agent.

To add a suite: a file with its environments, and a line in `SUITES`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

from icrl.envs import brax_suite, dm_control_suite, memory_length, popgym, stateless_cartpole
from icrl.envs.action_repeat import ActionRepeat
from icrl.envs.environment import Environment
from icrl.envs.multi import Environments
from icrl.envs.projection import ProjectionSpec
from icrl.envs.trial import Episodes
from icrl.errors import Problem, SpecError, collect, did_you_mean, is_file_name, show
from icrl.fields import PLAIN_NAME, Determines, PositiveInt, Spec
from icrl.plugins import Registry


class Suite(NamedTuple):
    """Environments under one name."""

    tasks: Sequence[str]
    """Names of its tasks."""
    build: Callable[[Sequence[str]], Sequence[Environment]]
    """Environments for some of the tasks."""
    require: Callable[[], None] = lambda: None
    """Raises UserError where an optional package is missing."""


SUITES = {
    "brax": Suite(tuple(brax_suite.TASKS), brax_suite.bodies),
    "bsuite": Suite(tuple(memory_length.TASKS), memory_length.environments),
    "cartpole": Suite(tuple(stateless_cartpole.TASKS), stateless_cartpole.environments),
    "dm_control": Suite(tuple(dm_control_suite.TASKS), dm_control_suite.bodies, dm_control_suite.require_playground),
    "popgym": Suite(tuple(popgym.TASKS), popgym.environments),
}


def _lacks(found: Any) -> str:
    """What a suite from outside should be instead."""
    if isinstance(found, type) and issubclass(found, Environment):
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        return f"one that has {', '.join(missing)}()" if missing else ""
    if isinstance(found, Suite):
        return ""
    return "a class derived from icrl.envs.environment.Environment, or an icrl.envs.suites.Suite"


REGISTRY = Registry("icrl.suites", SUITES, _lacks)


def find_suite(name: str) -> Suite:
    """The suite of a name: icrl's own, or one from outside; an environment is a suite of its own `tasks`.

    Raises:
        SpecError: there is none, or the environment cannot be made. Its path is empty.
    """
    found = REGISTRY.find(name)
    if isinstance(found, Suite):
        return found
    try:
        tasks = tuple(found().tasks)
    except Exception as error:
        got = f"{show(name)}, which cannot be made ({type(error).__name__}: {error})"
        expected = "a frozen dataclass whose fields have defaults, with the names of all its tasks in `tasks`"
        raise SpecError([Problem("", got, expected)]) from error
    return Suite(tasks, partial(_one_environment, found))


def _one_environment(cls: Callable[..., Environment], tasks: Sequence[str]) -> tuple[Environment, ...]:
    """An environment from outside, for some of its tasks."""
    return (cls(tasks=tuple(tasks)),)


@dataclass(frozen=True)
class TaskSetSpec(Spec):
    """The tasks of an experiment and their presentation."""

    train: tuple[str, ...]
    """Tasks the agent learns on; every one gets the same number of rows."""
    held_out: Annotated[tuple[str, ...] | dict[str, tuple[str, ...]], Determines("evaluation")] = ()
    """Tasks it meets in evaluation only; or, by name, groups of them that are reported apart."""
    suite: Annotated[str, REGISTRY] = "brax"
    trial_steps: PositiveInt | None = 64
    """Time limit of a trial, in env steps; null where the environments end trials by themselves."""
    action_repeat: PositiveInt = 1
    """Steps of the environment for which an action is held; together they are one env step, with their mean reward."""
    trials_per_episode: PositiveInt = 4
    """Trials of one task before memory is cleared and the task redrawn."""
    stagger: bool = True
    """In training, start rows in different trials of their first episode, so that episodes end all along; false: a
    rollout as long as an episode then is one whole episode, and gradients pass through all of it."""
    observe_action: bool = True
    """Append the previous (projected) action to the observation."""
    observe_reward: bool = True
    """Append the previous reward to the observation."""
    observe_previous: bool = False
    """Append the change of the (projected) observation since the step before; zero at a trial's start."""
    projection: ProjectionSpec | None = field(default_factory=ProjectionSpec)
    """Null shows the environments as they are; tasks trained and evaluated together must then be of one size."""

    def problems(self) -> list[Problem]:
        """Bounds, unknown and repeated tasks, and, where nothing else is wrong, what the environments refuse."""
        found = super().problems()
        if not self.train:
            found.append(Problem("train", "no task", "at least one task"))
        try:
            known = find_suite(self.suite).tasks
        except SpecError as error:
            return list(dict.fromkeys([*found, *(replace(problem, where="suite") for problem in error.problems)]))
        groups = [split.partition("/")[2] for split in self.splits]
        found += [Problem("held_out", show(group), PLAIN_NAME) for group in groups if group and not is_file_name(group)]
        found += [
            Problem(
                f"{split.replace('/', '.')}[{index}]",
                show(task),
                f"one of {', '.join(known)}",
                did_you_mean(task, known),
            )
            for split, tasks in self.splits.items()
            for index, task in enumerate(tasks)
            if task not in known
        ]
        found += [
            Problem("train, held_out", f"{show(task)} more than once", "every task once")
            for task in sorted({task for task in self.tasks if self.tasks.count(task) > 1})
        ]
        if found:
            return found
        environments = self._environments(self.tasks)
        found += [*self._endless(environments), *self._unlike(environments)]
        for environment in environments:
            misfits: list[Problem] = []
            with collect(misfits):
                self._present(environment, training=True)
            found += [replace(problem, where=f"projection.{problem.where}") for problem in misfits]
        return found

    @property
    def longest_trial(self) -> int:
        """Most env steps a trial can last: the time limit, or what the environments set themselves."""
        return max(self._limit(environment) for environment in self._environments(self.tasks))

    @property
    def rung(self) -> str:
        """The rung of the ladder, as `observation/action` where they differ; empty without projections."""
        return self.projection.rung if self.projection else ""

    def unprojected(self) -> "TaskSetSpec":
        """The same tasks seen as they are, in slots that are wide enough for each."""
        if self.projection is None:
            return self
        environments = self._environments(self.tasks)
        projection = replace(
            self.projection,
            observation_size=max(self.projection.observation_size, *(e.observation_size for e in environments)),
            action_size=max(self.projection.action_size, *(e.action_space.size for e in environments)),
            project_observation=False,
            project_action=False,
        )
        return replace(self, projection=projection)

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """The parts of the set by name: ``train``, and ``held_out`` or, for each group of it, ``held_out/GROUP``."""
        groups = self.held_out if isinstance(self.held_out, Mapping) else {"": self.held_out}
        return {"train": self.train} | {"/".join(filter(None, ("held_out", name))): groups[name] for name in groups}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks to train on, then those held out."""
        return tuple(task for tasks in self.splits.values() for task in tasks)

    def split_of(self, task: str) -> str:
        """Which part of the set a task belongs to."""
        return next(split for split, tasks in self.splits.items() if task in tasks)

    def build(
        self,
        tasks: Sequence[str],
        num_rows: int,
        *,
        trials_per_episode: int | None = None,
        training: bool = False,
        privileged: bool = False,
    ) -> Environments:
        """The batch of environments for some of the tasks, by default with the training number of trials.

        In training, rows are staggered and the projections' curriculum holds. ``privileged``: a critic is to see more.

        Raises:
            UserError: the suite needs an optional package that is not installed.
        """
        find_suite(self.suite).require()
        members = tuple(
            Episodes(
                self._present(environment, training),
                self._limit(environment),
                trials_per_episode or self.trials_per_episode,
                self.observe_action,
                training and self.stagger,
                self.observe_reward,
                self.observe_previous,
                privileged,
            )
            for environment in self._environments(tasks)
        )
        return Environments(members, num_rows)

    def _present(self, environment: Environment, training: bool) -> Environment:
        """An environment as the agent meets it."""
        return environment if self.projection is None else self.projection.build(environment, training=training)

    def _limit(self, environment: Environment) -> int:
        """Time limit of the environment's trials."""
        limit = self.trial_steps or environment.max_trial_steps
        assert limit is not None, "no such spec is accepted"
        return limit

    def _endless(self, environments: Sequence[Environment]) -> Iterator[Problem]:
        """Trials that nothing would end."""
        endless = [task for e in environments if e.max_trial_steps is None for task in e.tasks]
        if self.trial_steps is None and endless:
            yield Problem("trial_steps", "null", "at least 1", f"nothing else ends a trial of {', '.join(endless)}")

    def _unlike(self, environments: Sequence[Environment]) -> Iterator[Problem]:
        """Tasks that one agent could not be given side by side without projections."""
        if self.projection is None and len({(e.observation_size, e.action_space) for e in environments}) > 1:
            sizes = [f"{', '.join(e.tasks)} ({e.observation_size}, {e.action_space})" for e in environments]
            advice = f"as they are, they differ: {'; '.join(sizes)}"
            yield Problem("projection", "null", "tasks with the same observation size and action space", advice)

    def _environments(self, tasks: Sequence[str]) -> Sequence[Environment]:
        environments = find_suite(self.suite).build(tasks)
        if self.action_repeat == 1:
            return environments
        return tuple(ActionRepeat(environment, self.action_repeat) for environment in environments)
