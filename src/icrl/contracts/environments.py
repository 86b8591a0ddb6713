"""The contract of environments (`icrl.envs.environment`) and of the suites that hold them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icrl.compiling import jit_for_one_run
from icrl.contracts import Finding, examine, how_broken, require, require_close, require_equal
from icrl.envs.environment import Environment
from icrl.envs.spaces import Continuous, Discrete
from icrl.envs.suites import Suite
from icrl.types import Key, PyTree, Transition, type_of

STEPS, FEW, ROWS = 48, 6, 3
"""Steps of a rollout, those before which rounding can hardly grow, and rows of each task."""
LONGEST = 20_000
"""Steps of a trial that are waited for."""


class Play(NamedTuple):
    """What one row saw: the first observation, and every transition, leaves ``[T, ...]``."""

    first: jax.Array
    after: Transition


@dataclass(frozen=True, eq=False)
class EnvironmentCase:
    """An environment, and what happened to three rows of each of its tasks under random actions."""

    environment: Environment
    suite: Suite

    def play(self, key: Key, index: jax.Array, actions: jax.Array) -> Play:
        """One row; where a trial ends, the next one starts from a fresh draw."""
        return _play(self.environment, index, key, actions)

    def actions(self, steps: int = STEPS, scale: float = 1.0) -> np.ndarray:
        """Random ones ``[ROWS, steps, ...]``: choices, or vectors up to ``scale``."""
        rng, space = np.random.default_rng(0), self.environment.action_space
        if isinstance(space, Discrete):
            return rng.integers(0, space.size, (ROWS, steps)).astype(np.int32)
        return rng.uniform(-scale, scale, (ROWS, steps, space.size)).astype(np.float32)

    def all_rows(self, actions: np.ndarray) -> Play:
        """Every row of every task, leaves ``[tasks, ROWS, ...]``, traced anew."""
        each_row = jax.vmap(lambda *row: self.play(*row), (0, None, 0))
        each_task = jax.vmap(each_row, (None, 0, None))
        return jit_for_one_run(each_task)(_keys(), jnp.arange(len(self.environment.tasks)), actions)


def _keys() -> Key:
    return jax.random.split(jax.random.PRNGKey(0), ROWS)


def _play(environment: Environment, index: jax.Array, key: Key, actions: jax.Array) -> Play:
    task_key, reset_key, steps_key = jax.random.split(key, 3)
    task = environment.sample_task(index, key=task_key)
    state, first = environment.reset(task, key=reset_key)

    def step(state: PyTree, inputs: tuple[jax.Array, Key]) -> tuple[PyTree, Transition]:
        action, key = inputs
        step_key, restart_key = jax.random.split(key)
        state, after = environment.step(task, state, action, key=step_key)
        fresh, _ = environment.reset(task, key=restart_key)
        ended = after.terminated | after.truncated
        return jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, state), after

    _, after = jax.lax.scan(step, state, (actions, jax.random.split(steps_key, len(actions))))
    return Play(first, after)


def it_says_what_it_is(case: EnvironmentCase) -> None:
    """tasks, observation_size, action_space and max_trial_steps are what they should be."""
    it = case.environment
    named = isinstance(it.tasks, tuple) and it.tasks and all(isinstance(task, str) for task in it.tasks)
    require(named and len({*it.tasks}) == len(it.tasks), f"tasks is {it.tasks!r}; expected a tuple of names, each once")
    whole = isinstance(it.observation_size, int) and it.observation_size >= 1
    require(whole, f"observation_size is {it.observation_size!r}; expected a whole number from 1 on")
    known = isinstance(it.action_space, Continuous | Discrete) and it.action_space.size >= 1
    require(known, f"action_space is {it.action_space!r}; expected a Continuous or Discrete of icrl.envs.spaces")
    limit = it.max_trial_steps
    require(
        limit is None or (isinstance(limit, int) and limit >= 1), f"max_trial_steps is {limit!r}; expected None or >= 1"
    )


def types_are_kept(case: EnvironmentCase) -> None:
    """Observations are float32 [O], rewards float32, ends bool; the state keeps its structure, shapes and dtypes.

    What is hidden, and what a privileged critic is shown, have the sizes that are said.
    """
    it, key = case.environment, jax.random.PRNGKey(0)
    task = jax.eval_shape(lambda: it.sample_task(jnp.int32(0), key=key))
    state, first = jax.eval_shape(lambda task: it.reset(task, key=key), task)
    action = it.action_space.zeros()
    after_state, after = jax.eval_shape(lambda task, state: it.step(task, state, action, key=key), task, state)
    require(isinstance(after, Transition), f"step gives a {type(after).__name__}; expected an icrl.types.Transition")
    hidden = jax.eval_shape(it.hidden, task)
    privileged = jax.eval_shape(it.privileged, task, state)
    observation = f"float32[{it.observation_size}]"
    for what, got, expected in (
        ("reset's observation", first, observation),
        ("step's observation", after.observation, observation),
        ("reward", after.reward, "float32[]"),
        ("terminated", after.terminated, "bool[]"),
        ("truncated", after.truncated, "bool[]"),
        ("what is hidden", hidden, f"float32[{it.hidden_size}]"),
        ("what is privileged", privileged, f"float32[{it.privileged_size}]"),
    ):
        require(type_of(got) == expected, f"{what} is {type_of(got)}; expected {expected}")
    old, new = jax.tree.structure(state), jax.tree.structure(after_state)
    require(old == new, f"the state was {old} and is {new} after a step")
    for (path, old), new in zip(jax.tree.leaves_with_path(state), jax.tree.leaves(after_state), strict=True):
        where = f"the state{jax.tree_util.keystr(path)}"
        require(type_of(old) == type_of(new), f"{where} was {type_of(old)} and is {type_of(new)} after a step")


def numbers_are_finite(case: EnvironmentCase) -> None:
    """Observations and rewards are finite under random actions."""
    play = case.all_rows(case.actions())
    for what, values in (("observations", (play.first, play.after.observation)), ("rewards", play.after.reward)):
        for leaf in jax.tree.leaves(values):
            require(np.isfinite(leaf).all(), f"{what} are not")


def ends_are_one_or_the_other(case: EnvironmentCase) -> None:
    """A step never both terminates and truncates a trial."""
    after = case.all_rows(case.actions()).after
    require(not np.any(after.terminated & after.truncated), "one did; where a trial ends by itself it is not cut short")


def keys_determine_everything(case: EnvironmentCase) -> None:
    """The same keys and actions give the same numbers, however often it is traced."""
    advice = "draw with the key alone: NumPy's and Python's numbers are drawn once, when JAX traces"
    actions = case.actions()
    require_equal(case.all_rows(actions), case.all_rows(actions), f"traced again ({advice})")


def rows_run_side_by_side(case: EnvironmentCase) -> None:
    """Rows under vmap give what each gives alone."""
    actions = case.actions(FEW)
    together, alone = case.all_rows(actions), jit_for_one_run(case.play)
    for row, key in enumerate(_keys()):
        expected = alone(key, jnp.int32(0), actions[row])
        got = jax.tree.map(lambda leaf, row=row: leaf[0, row], together)
        require_close(got, expected, "what a row sees beside others", tolerance=1e-3)


def actions_are_clipped(case: EnvironmentCase) -> None:
    """Continuous actions beyond [-1, 1] do what those at its ends do: the environment clips them."""
    if isinstance(case.environment.action_space, Continuous):
        actions = case.actions(FEW, scale=3.0)
        far, near = case.all_rows(actions), case.all_rows(np.clip(actions, -1, 1))
        require_equal(far, near, "of actions up to 3, what is seen")


def trials_end_when_they_say(case: EnvironmentCase) -> None:
    """Where max_trial_steps is set, a trial has ended by itself after so many steps."""
    limit = case.environment.max_trial_steps
    if limit is not None and limit <= LONGEST:
        after = case.all_rows(case.actions(limit)).after
        require(np.all(np.any(after.terminated | after.truncated, axis=-1)), f"some go on after {limit} steps")


def tasks_stay_themselves(case: EnvironmentCase) -> None:
    """A task is the same alone as among others: its number counts in this environment's own `tasks`."""
    tasks, actions = case.environment.tasks, case.actions(FEW)
    if len(tasks) < 2:
        return
    together = case.all_rows(actions)
    for index, task in enumerate(tasks):
        built = case.suite.build([task])
        require(
            len(built) == 1 and built[0].tasks == (task,),
            f"for {task} alone, the suite builds {[e.tasks for e in built]}",
        )
        alone = EnvironmentCase(built[0], case.suite).all_rows(actions)
        got = jax.tree.map(lambda leaf: leaf[0], alone)
        expected = jax.tree.map(lambda leaf, index=index: leaf[index], together)
        require_close(got, expected, f"what {task} shows alone", tolerance=1e-3)


ENVIRONMENT_CONTRACT: tuple[Callable[[EnvironmentCase], None], ...] = (
    it_says_what_it_is,
    types_are_kept,
    numbers_are_finite,
    ends_are_one_or_the_other,
    keys_determine_everything,
    rows_run_side_by_side,
    actions_are_clipped,
    trials_end_when_they_say,
    tasks_stay_themselves,
)


def examine_suite(suite: Suite, tasks: tuple[str, ...] | None = None) -> list[Finding]:
    """What becomes of every part of the contract for the environments of a suite, or of some of its tasks."""
    tasks = tuple(suite.tasks) if tasks is None else tasks
    found: list[Environment] = []

    def build() -> None:
        suite.require()
        found.extend(suite.build(tasks))
        built = [task for environment in found for task in environment.tasks]
        require(
            tasks and sorted(built) == sorted({*tasks}),
            f"of {', '.join(tasks) or 'no task'} it builds {', '.join(built)}",
        )

    built = Finding("The suite builds environments for its tasks, each task once", how_broken(build))
    if built.broken:
        return [built]
    findings = [built]
    for environment in found:
        of = f" ({', '.join(environment.tasks)})" if len(found) > 1 else ""
        parts = examine(ENVIRONMENT_CONTRACT, EnvironmentCase(environment, suite), needed=2)
        findings += [Finding(finding.promise + of, finding.broken) for finding in parts]
    return findings
