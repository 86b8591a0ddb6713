"""StatelessCartPole: balance a pole without seeing velocities, optionally through noise.

The dynamics are those of Gymnasium's CartPole (Barto, Sutton and Anderson 1983).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from icrl.envs.picture import Part, Picture
from icrl.envs.popgym.popgym_environment import PopgymEnvironment
from icrl.envs.spaces import Discrete
from icrl.types import Key, Transition

GRAVITY = 9.8  # m/s²
CART_MASS, POLE_MASS = 1.0, 0.1  # kg
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # m, of the pole
FORCE = 10.0  # N
SECONDS = 0.02  # of a step
MAX_POSITION = 2.4  # m
MAX_ANGLE = math.radians(12)


class CartPoleState(NamedTuple):
    """Cart and pole."""

    motion: jax.Array  # [4]: position m, velocity m/s, angle rad, angular velocity rad/s
    step: jax.Array  # [] int32: steps taken


@dataclass(frozen=True)
class StatelessCartPole(PopgymEnvironment):
    """Every step earns 1 / ``num_steps``, the one in which the pole falls included.

    Observation: position in m and angle in rad; with noise, clipped to twice the limits of both. Actions push left or
    right. Terminates beyond 2.4 m or 12 degrees; truncated after ``num_steps``.
    """

    num_steps: int = 200
    noise: float = 0.0
    """Standard deviation of the normal noise on each coordinate of the observation."""
    unit_size: bool = False
    """Observe position and angle as shares of their limits, which POPGym does not; without noise."""

    observation_size = 2
    action_space = Discrete(2)

    @property
    def max_trial_steps(self) -> int:  # type: ignore[override]
        """``num_steps``."""
        return self.num_steps

    def reset(self, task: tuple[()], *, key: Key) -> tuple[CartPoleState, jax.Array]:
        """Draws positions and velocities uniformly within 0.05 of upright rest."""
        start_key, noise_key = jax.random.split(key)
        state = CartPoleState(jax.random.uniform(start_key, (4,), minval=-0.05, maxval=0.05), jnp.int32(0))
        return state, self._observe(state, key=noise_key)

    def step(
        self, task: tuple[()], state: CartPoleState, action: jax.Array, *, key: Key
    ) -> tuple[CartPoleState, Transition]:
        """Pushes for one time step (explicit Euler)."""
        state = CartPoleState(_pushed(state.motion, jnp.where(action == 1, FORCE, -FORCE)), state.step + 1)
        fallen = (jnp.abs(state.motion[0]) > MAX_POSITION) | (jnp.abs(state.motion[2]) > MAX_ANGLE)
        return state, Transition(
            self._observe(state, key=key),
            jnp.float32(1 / self.num_steps),
            terminated=fallen,
            truncated=(state.step >= self.num_steps) & ~fallen,
        )

    def picture(self, task: tuple[()], state: CartPoleState) -> Picture:
        """The cart on its rail, and the pole at its true length."""
        position, _, angle, _ = map(float, state.motion)
        tip = [position + 2 * HALF_LENGTH * math.sin(angle), 0.0, 2 * HALF_LENGTH * math.cos(angle)]
        rail = Part(np.array([[-MAX_POSITION, 0.0, 0.0], [MAX_POSITION, 0.0, 0.0]]), 0.02, fixed=True)
        cart = Part(np.array([[position - 0.15, 0.0, 0.0], [position + 0.15, 0.0, 0.0]]), 0.09)
        return Picture((rail, cart, Part(np.array([[position, 0.0, 0.0], tip]), 0.05)))

    def words(self, task: str) -> str:
        """What every step earns reward for."""
        return "keeping the pole up"

    def _observe(self, state: CartPoleState, *, key: Key) -> jax.Array:
        seen, limit = state.motion[jnp.array([0, 2])], jnp.array([MAX_POSITION, MAX_ANGLE])
        if self.unit_size:
            return seen / limit
        if not self.noise:
            return seen
        return jnp.clip(seen + self.noise * jax.random.normal(key, (2,)), -2 * limit, 2 * limit)


def _pushed(motion: jax.Array, force: jax.Array) -> jax.Array:
    """Position, velocity, angle and angular velocity one time step later."""
    _, velocity, angle, angular_velocity = motion
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    pole = POLE_MASS * HALF_LENGTH
    pressure = (force + pole * angular_velocity**2 * sin) / TOTAL_MASS
    angular_acceleration = (GRAVITY * sin - cos * pressure) / (HALF_LENGTH * (4 / 3 - POLE_MASS * cos**2 / TOTAL_MASS))
    acceleration = pressure - pole * angular_acceleration * cos / TOTAL_MASS
    return motion + SECONDS * jnp.stack([velocity, acceleration, angular_velocity, angular_acceleration])
