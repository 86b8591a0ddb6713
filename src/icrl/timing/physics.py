"""What several environments in one batch cost: rows bound to environments, against the ideal and against a switch.

The ideal is the sum of the environments run one by one. The alternative that icrl does not use gives every row any
environment, by a ``lax.switch`` under ``vmap``, which computes every environment for every row.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.timing.programs import Clock, Interval, Program, interleave, ratios
from icrl.types import Key, PyTree


def measure_physics(
    environments: Sequence[Environment],
    rows_each: int,
    num_steps: int,
    repetitions: int,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Seconds for ``num_steps`` env steps of ``rows_each`` rows of every environment, in each of the three ways.

    The environments must agree on their action space. Actions are zero, trials never end.
    """
    key = jax.random.PRNGKey(0)
    singles = {
        f"single/{environment.tasks[0]}": Program.of(_bound([environment], rows_each, num_steps), key, clock=clock)
        for environment in environments
    }
    programs = singles | {
        "bound": Program.of(_bound(environments, rows_each, num_steps), key, clock=clock),
        "switch": Program.of(_switched(environments, rows_each, num_steps), key, clock=clock),
    }
    samples = interleave(programs, repetitions, clock)
    ideal = [sum(round_) for round_ in zip(*(samples[name] for name in singles), strict=True)]
    env_steps = len(environments) * rows_each * num_steps
    return {
        "environments": [environment.tasks[0] for environment in environments],
        "rows_each": rows_each,
        "env_steps": env_steps,
        "seconds": {name: Interval.of(seconds)._asdict() for name, seconds in (samples | {"ideal": ideal}).items()},
        "compile_seconds": {name: program.compile_seconds for name, program in programs.items()},
        "env_steps_per_second": {name: env_steps / Interval.of(samples[name]).median for name in ("bound", "switch")},
        "bound_to_ideal": ratios(samples["bound"], ideal)._asdict(),
        "switch_to_bound": ratios(samples["switch"], samples["bound"])._asdict(),
    }


def _bound(environments: Sequence[Environment], rows_each: int, num_steps: int) -> Callable[[Key], jax.Array]:
    """Every environment steps its own rows. Gives the sum of all rows' rewards at every step ``[T]``."""

    def run(key: Key) -> jax.Array:
        keys = jax.random.split(key, rows_each)
        tasks, states = zip(*(jax.vmap(_start(environment))(keys) for environment in environments), strict=True)

        def step(states, _):
            moved = [
                jax.vmap(_step(environment))(task, state, keys)
                for environment, task, state in zip(environments, tasks, states, strict=True)
            ]
            return tuple(state for state, _ in moved), jnp.stack([reward.sum() for _, reward in moved]).sum()

        return jax.lax.scan(step, states, length=num_steps)[1]

    return run


def _switched(environments: Sequence[Environment], rows_each: int, num_steps: int) -> Callable[[Key], jax.Array]:
    """Every row holds a state of every environment and steps the one it is told. The same rows, the same sums."""
    num_environments = len(environments)

    def run(key: Key) -> jax.Array:
        keys = jnp.tile(jax.random.split(key, rows_each), (num_environments, 1))
        which = jnp.repeat(jnp.arange(num_environments), rows_each)
        tasks, states = zip(*(jax.vmap(_start(environment))(keys) for environment in environments), strict=True)

        def step_row(which, tasks, states, key):
            def only(index: int):
                def branch():
                    state, reward = _step(environments[index])(tasks[index], states[index], key)
                    return (*states[:index], state, *states[index + 1 :]), reward

                return branch

            return jax.lax.switch(which, [only(index) for index in range(num_environments)])

        def step(states, _):
            states, reward = jax.vmap(step_row)(which, tasks, states, keys)
            return states, reward.sum()

        return jax.lax.scan(step, states, length=num_steps)[1]

    return run


def _start(environment: Environment) -> Callable[[Key], tuple[PyTree, PyTree]]:
    def start(key: Key) -> tuple[PyTree, PyTree]:
        task_key, reset_key = jax.random.split(key)
        task = environment.sample_task(jnp.int32(0), key=task_key)
        return task, environment.reset(task, key=reset_key)[0]

    return start


def _step(environment: Environment) -> Callable[[PyTree, PyTree, Key], tuple[PyTree, jax.Array]]:
    def step(task: PyTree, state: PyTree, key: Key) -> tuple[PyTree, jax.Array]:
        state, transition = environment.step(task, state, environment.action_space.zeros(), key=key)
        return state, transition.reward

    return step
