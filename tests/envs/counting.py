"""A tiny environment that counts, so that tests can say exactly what must come out."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.envs.spaces import Continuous, Space
from icrl.types import Key, Transition


class Count(NamedTuple):
    start: jax.Array  # [] drawn at reset
    steps: jax.Array  # [] int32


class DrawnTask(NamedTuple):
    index: jax.Array  # [] int32
    draw: jax.Array  # [] uniform


ONE_NUMBER = Continuous(1)


@dataclass(frozen=True)
class Counting(Environment):
    """Observes (task draw, start draw, steps taken, action received) and rewards step k of a trial with k."""

    tasks: tuple[str, ...] = ("endless",)
    terminates_at: tuple[int, ...] = (0,)
    """Per task: the step that ends the trial; 0 is none."""
    truncates_at: int = 0
    """The step at which the environment itself stops the trial; 0 is none."""
    action_space: Space = ONE_NUMBER

    observation_size = 4

    def sample_task(self, index: jax.Array, *, key: Key) -> DrawnTask:
        return DrawnTask(index, jax.random.uniform(key))

    def reset(self, task: DrawnTask, *, key: Key) -> tuple[Count, jax.Array]:
        state = Count(jax.random.uniform(key), jnp.int32(0))
        return state, self._observe(task, state, 0.0)

    def step(self, task: DrawnTask, state: Count, action: jax.Array, *, key: Key) -> tuple[Count, Transition]:
        state = Count(state.start, state.steps + 1)
        received = jnp.clip(jnp.sum(action), -1, 1)
        return state, Transition(
            self._observe(task, state, received),
            reward=state.steps.astype(jnp.float32),
            terminated=state.steps == jnp.array(self.terminates_at)[task.index],
            truncated=state.steps == self.truncates_at,
        )

    def _observe(self, task: DrawnTask, state: Count, received) -> jax.Array:
        return jnp.array([task.draw, state.start, state.steps, received], jnp.float32)
