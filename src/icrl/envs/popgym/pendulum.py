"""StatelessPendulum: swing a pendulum up without seeing its velocity, optionally through noise.

The dynamics are those of Gymnasium's Pendulum, a rod of 1 m and 1 kg.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.picture import Part, Picture
from icrl.envs.popgym.popgym_environment import PopgymEnvironment
from icrl.envs.spaces import Continuous
from icrl.types import Key, Transition

GRAVITY = 10.0  # m/s²
SECONDS = 0.05  # of a step
MAX_TORQUE = 2.0  # N m
MAX_VELOCITY = 8.0  # rad/s
WORST_COST = 16.2736044
"""That of hanging still under full torque at full speed: pi² + 0.1 * 8² + 0.001 * 2²."""


class PendulumState(NamedTuple):
    """The rod."""

    angle: jax.Array  # [] rad, from upright
    velocity: jax.Array  # [] rad/s
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class StatelessPendulum(PopgymEnvironment):
    """Every step earns between -1 and 1, over ``num_steps``, by angle, velocity and torque before it.

    Observation: cosine and sine of the angle; with noise, clipped to [-1, 1]. An action of 1 is the full torque.
    Truncated after ``num_steps``.
    """

    num_steps: int = 200
    noise: float = 0.0
    """Standard deviation of the normal noise on each coordinate of the observation."""

    observation_size = 2
    action_space = Continuous(1)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """``num_steps``."""
        return self.num_steps

    def reset(self, task: tuple[()], *, key: Key) -> tuple[PendulumState, jax.Array]:
        """Draws any angle, and a velocity within 1 rad/s."""
        start_key, noise_key = jax.random.split(key)
        angle, velocity = jax.random.uniform(start_key, (2,), minval=-1.0, maxval=1.0) * jnp.array([jnp.pi, 1.0])
        state = PendulumState(angle, velocity, jnp.int32(0))
        return state, self._observe(state, key=noise_key)

    def step(
        self, task: tuple[()], state: PendulumState, action: jax.Array, *, key: Key
    ) -> tuple[PendulumState, Transition]:
        """Applies a torque for one time step (semi-implicit Euler)."""
        torque = MAX_TORQUE * jnp.clip(action[0], -1.0, 1.0)
        wrapped = jnp.mod(state.angle + jnp.pi, 2 * jnp.pi) - jnp.pi
        cost = wrapped**2 + 0.1 * state.velocity**2 + 0.001 * torque**2
        acceleration = 1.5 * GRAVITY * jnp.sin(state.angle) + 3 * torque
        velocity = jnp.clip(state.velocity + acceleration * SECONDS, -MAX_VELOCITY, MAX_VELOCITY)
        state = PendulumState(state.angle + velocity * SECONDS, velocity, state.step + 1)
        return state, Transition(
            self._observe(state, key=key),
            (1 - 2 * cost / WORST_COST) / self.num_steps,
            terminated=jnp.zeros((), bool),
            truncated=state.step >= self.num_steps,
        )

    def picture(self, task: tuple[()], state: PendulumState) -> Picture:
        """The rod, which is 1 m long, and where it would stand."""
        angle = float(state.angle)
        pivot, tip = [0.0, 0.0, 0.0], [math.sin(angle), 0.0, math.cos(angle)]
        return Picture((Part(np.array([pivot, tip]), 0.06),), (Part(np.array([pivot, [0.0, 0.0, 1.0]]), 0.06),))

    def words(self, task: str) -> str:
        """What every step earns reward for."""
        return "holding the rod up, slowly and with little force"

    def _observe(self, state: PendulumState, *, key: Key) -> jax.Array:
        seen = jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle)])
        if not self.noise:
            return seen
        return jnp.clip(seen + self.noise * jax.random.normal(key, (2,)), -1.0, 1.0)
