"""CartPole without velocities (POPGym's StatelessCartPole, arXiv 2303.01859), for trials in a row under projections.

The dynamics are Gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983), the limits and rewards POPGym's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from icrl.envs.environment import Environment
from icrl.envs.spaces import Discrete, Space
from icrl.types import Key, Transition

GRAVITY = 9.8  # m/s^2
CART_MASS, POLE_MASS = 1.0, 0.1  # kg
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # m, from the pivot to the pole's centre of mass
FORCE = 10.0  # N
TIME_STEP = 0.02  # s
MAX_POSITION = 2.4  # m
MAX_ANGLE = math.radians(12)

TASKS = ("stateless_cartpole",)


class CartPole(NamedTuple):
    """Motion and time."""

    position: jax.Array  # [] m
    velocity: jax.Array  # [] m/s
    angle: jax.Array  # [] rad, 0 is upright
    angular_velocity: jax.Array  # [] rad/s
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class StatelessCartPole(Environment):
    """Every step earns ``1 / num_steps``, the one in which the pole falls included, so a whole trial earns 1.

    Observation: position and angle, each divided by its limit. Choices: 0 pushes left, 1 right. A trial terminates
    where a limit is passed, and is truncated after ``num_steps``.
    """

    tasks: tuple[str, ...] = TASKS
    num_steps: int = 200

    observation_size = 2
    action_space: Space = Discrete(2)  # noqa: RUF009

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """Of a pole that never falls."""
        return self.num_steps

    def sample_task(self, index: jax.Array, *, key: Key) -> tuple[()]:
        """Nothing: what differs from episode to episode is the projection."""
        del index, key
        return ()

    def reset(self, task: tuple[()], *, key: Key) -> tuple[CartPole, jax.Array]:
        """Draws all of the motion uniformly within 0.05 of upright rest."""
        state = CartPole(*jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), step=jnp.int32(0))
        return state, self._observe(state)

    def step(self, task: tuple[()], state: CartPole, action: jax.Array, *, key: Key) -> tuple[CartPole, Transition]:
        """Pushes for one time step."""
        del key
        state = _push(state, jnp.where(action == 1, FORCE, -FORCE))
        fallen = (jnp.abs(state.position) > MAX_POSITION) | (jnp.abs(state.angle) > MAX_ANGLE)
        truncated = (state.step >= self.num_steps) & ~fallen
        return state, Transition(self._observe(state), jnp.float32(1 / self.num_steps), fallen, truncated)

    def _observe(self, state: CartPole) -> jax.Array:
        return jnp.stack([state.position / MAX_POSITION, state.angle / MAX_ANGLE])


def _push(state: CartPole, force: jax.Array) -> CartPole:
    """One step of explicit Euler under a horizontal force, N."""
    sin, cos = jnp.sin(state.angle), jnp.cos(state.angle)
    moment = POLE_MASS * HALF_LENGTH
    thrust = (force + moment * jnp.square(state.angular_velocity) * sin) / TOTAL_MASS
    inertia = HALF_LENGTH * (4 / 3 - POLE_MASS * jnp.square(cos) / TOTAL_MASS)
    angular_acceleration = (GRAVITY * sin - cos * thrust) / inertia
    acceleration = thrust - moment * angular_acceleration * cos / TOTAL_MASS
    return CartPole(
        state.position + TIME_STEP * state.velocity,
        state.velocity + TIME_STEP * acceleration,
        state.angle + TIME_STEP * state.angular_velocity,
        state.angular_velocity + TIME_STEP * angular_acceleration,
        state.step + 1,
    )


def environments(tasks: Sequence[str]) -> tuple[StatelessCartPole, ...]:
    """The one environment, if it is asked for."""
    return (StatelessCartPole(tuple(tasks)),) if tasks else ()
