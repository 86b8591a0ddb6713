"""A suite without physics, so that tests of the shell compile in a second instead of a minute."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.envs.spaces import Continuous, Space
from icrl.envs.suites import Suite
from icrl.types import Key, Transition


class Point(NamedTuple):
    start: jax.Array  # [] drawn at a trial's start
    position: jax.Array  # []


@dataclass(frozen=True)
class Push(Environment):
    """A point that actions push along a line, from a random start. Being right earns up to 1, being left 0.

    In its second task left is right. As in the Brax suite, rewards lie in [0, 1] and nothing terminates.
    """

    tasks: tuple[str, ...]
    observation_size = 3
    action_space: Space = Continuous(1)  # noqa: RUF009

    def sample_task(self, index: jax.Array, *, key: Key) -> jax.Array:
        return index

    def reset(self, task: jax.Array, *, key: Key) -> tuple[Point, jax.Array]:
        start = jax.random.uniform(key, minval=-1.0, maxval=1.0)
        point = Point(start, start)
        return point, self._observe(point)

    def step(self, task: jax.Array, state: Point, action: jax.Array, *, key: Key) -> tuple[Point, Transition]:
        point = Point(state.start, state.position + 0.5 * jnp.clip(action[0], -1.0, 1.0))
        direction = jnp.where(task == 0, 1.0, -1.0)
        reward = 0.5 * (1 + jnp.tanh(direction * point.position))
        false = jnp.zeros((), bool)
        return point, Transition(self._observe(point), reward, false, false)

    def _observe(self, point: Point) -> jax.Array:
        return jnp.array([point.start, point.position, 1.0])


def environments(tasks: Sequence[str]) -> tuple[Push, ...]:
    """What takes the place of `brax_suite.bodies`."""
    return (Push(tuple(tasks)),)


SUITE = Suite(("cartpole_centre", "cartpole_side"), environments)
"""What takes the place of the Brax suite in `icrl.envs.suites.SUITES`; two of its tasks keep their names."""
